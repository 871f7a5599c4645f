"""Clones have another family's weights under another name, and compute the same bits: dense, masked, cut and saved."""

import dataclasses

import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.encoders.families.table import FAMILIES as SUPPORTED
from stark.encoders.layers import kept_units
from stark.encoders.masking import unit_masks
from stark.forward.classifying import classify
from stark.model_folders.input_checks import most_tokens
from stark.model_folders.model_folder import load_classifier, save_classifier
from tests.tiny import CLONES, random_masks, tiny_batch, tiny_classifier


def base_state(model):
    """The weights, with one prefix in the place of the family's name."""
    prefix = f"{model.base_model_prefix}."
    return {name.replace(prefix, "base."): value for name, value in model.state_dict().items()}


def pair(clone):
    """A clone and a model of the original family with the same weights."""
    model, original = tiny_classifier(clone).double(), tiny_classifier(CLONES[clone], seed=1).double()
    theirs, own = base_state(original), base_state(model)
    assert own.keys() == theirs.keys()
    with torch.no_grad():
        for name, value in theirs.items():
            value.copy_(own[name])
    return model, original


@pytest.mark.parametrize("clone", CLONES)
def test_a_clone_is_described_as_the_original(clone):
    adapter, original = SUPPORTED[clone], SUPPORTED[CLONES[clone]]
    assert dataclasses.replace(adapter, model_type=original.model_type) == original


@pytest.mark.parametrize("clone", CLONES)
@torch.no_grad()
def test_a_clone_computes_the_same_before_and_after_a_cut(clone, tmp_path):
    model, original = pair(clone)
    batch, masks = tiny_batch(), random_masks(model, empty_heads=0, empty_neurons=1)
    assert torch.equal(classify(model, batch), classify(original, batch))
    assert most_tokens(model.config) == most_tokens(original.config)
    for one in (model, original):
        with unit_masks(one, masks):
            masked = classify(one, batch)
        shrink_(one, masks)
        torch.testing.assert_close(classify(one, batch), masked, rtol=0, atol=1e-12)
    assert model.config.model_type == f"stark-{clone}"
    assert torch.equal(classify(model, batch), classify(original, batch))
    loaded = load_classifier(save_classifier(model.float(), tmp_path / "model"))
    assert kept_units(loaded) == kept_units(original)
    torch.testing.assert_close(classify(loaded, batch), classify(original.float(), batch))
