"""The page of scores and budgets has every one of them, and its YAML works."""

import re

import yaml

import stark
from pipeline.parsing.objects import build
from tests.docs.pages import BLOCK, DOCS

PAGE = (DOCS / "scores.md").read_text(encoding="utf-8")
INTERFACES = {
    stark.Score,
    stark.ActivationScore,
    stark.GradientScore,
    stark.Budget,
    stark.CostBudget,
    stark.UnitCostBudget,
}


def offered(of):
    """The subclasses that `stark` exports."""
    found = (getattr(stark, name) for name in stark.__all__)
    return {one.__name__ for one in found if isinstance(one, type) and issubclass(one, of)} - {
        one.__name__ for one in INTERFACES
    }


def test_every_score_and_budget_is_in_a_table():
    firsts = re.findall(r"^\| (`stark\..*?) \|", PAGE, re.MULTILINE)
    named = {name for first in firsts for name in re.findall(r"`stark\.(\w+)`", first)}
    assert named == offered(stark.Score) | offered(stark.Budget)


def test_the_example_is_a_score_and_a_budget():
    (text,) = [text for language, _, text in BLOCK.findall(PAGE) if language == "yaml"]
    described = yaml.safe_load(text)["student"]
    assert isinstance(build(stark.Score, "student.score", described["score"]), stark.Fisher)
    assert build(stark.Budget, "student.budget", described["budget"]).floor == 0.05
