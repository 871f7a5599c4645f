"""The page of losses has every loss, and its YAML works."""

import re

import pytest
import yaml

import stark
from pipeline.parsing.objects import build
from tests.docs.pages import BLOCK, DOCS

PAGE = (DOCS / "losses.md").read_text(encoding="utf-8")
INTERFACES = {stark.Loss, stark.LogitLoss, stark.LayerLoss}


def offered():
    """The losses that `stark` exports."""
    found = (getattr(stark, name) for name in stark.__all__)
    return {one for one in found if isinstance(one, type) and issubclass(one, stark.Loss)} - INTERFACES


def test_every_loss_is_in_a_table():
    rows = set(re.findall(r"^\| `stark\.(\w+)` \|", PAGE, re.MULTILINE))
    assert rows == {loss.__name__ for loss in offered() if loss is not stark.WeightedSum}


@pytest.mark.parametrize("text", [text for language, _, text in BLOCK.findall(PAGE) if language == "yaml"])
def test_the_examples_are_losses(text):
    described = yaml.safe_load(text)["distillation"]["loss"]
    found = build(stark.Loss, "distillation.loss", described)
    assert type(found).__name__ == described["class_path"].removeprefix("stark.")
