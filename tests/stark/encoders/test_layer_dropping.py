"""Dropping of layers."""

import copy

import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.encoders.layer_dropping import drop_layers, drop_layers_, layers_to_keep
from stark.encoders.layers import encoder_layers, kept_units
from tests.tiny import FAMILIES, logits, random_masks, tiny_batch, tiny_classifier


@pytest.mark.parametrize("shrunk", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_dropping_layers_equals_skipping_them(family, shrunk):
    model = tiny_classifier(family, layers=4).double()
    if shrunk:
        shrink_(model, random_masks(model))
    skipped = copy.deepcopy(model)
    for number in (0, 2):
        skip = encoder_layers(skipped)[number].module
        computed = skip.forward

        def forward(hidden_states, *args, computed=computed, **kwargs):
            is_tensor = isinstance(computed(hidden_states, *args, **kwargs), torch.Tensor)
            return hidden_states if is_tensor else (hidden_states, None)

        skip.forward = forward
    model_type, units = model.config.model_type, kept_units(model)
    drop_layers_(model, [1, 3])
    assert torch.equal(logits(model), logits(skipped))
    assert model.config.num_hidden_layers == len(encoder_layers(model)) == 2
    assert model.config.model_type == model_type
    assert kept_units(model) == units.of_layers([1, 3])
    assert [m.layer_idx for m in model.modules() if hasattr(m, "layer_idx") and m.layer_idx is not None] in ([], [0, 1])


@pytest.mark.parametrize("keep", [[], [1, 0], [0, 0], [-1], [2]])
def test_bad_layers_to_keep_are_refused(keep):
    with pytest.raises(ValueError, match="ascending numbers below 2"):
        drop_layers_(tiny_classifier(), keep)


def test_layers_to_keep():
    assert layers_to_keep(12, 6, "alternate") == [0, 2, 4, 6, 8, 10]
    assert layers_to_keep(6, 4, "alternate") == [0, 1, 3, 4]
    for which in ("first", "last", "alternate"):
        assert layers_to_keep(3, 3, which) == [0, 1, 2]
        for k in (0, 4):
            with pytest.raises(ValueError, match=f"cannot keep {k} of 3 layers"):
                layers_to_keep(3, k, which)
    with pytest.raises(ValueError, match="one of first, last, alternate, not 'middle'"):
        layers_to_keep(3, 2, "middle")


def test_a_model_cannot_keep_more_layers_than_it_has():
    model = tiny_classifier(layers=2)
    with torch.no_grad():
        before = model(**tiny_batch()).logits
        assert torch.equal(drop_layers(model, 2)(**tiny_batch()).logits, before)
    with pytest.raises(ValueError, match="cannot keep 3 of 2 layers"):
        drop_layers(model, 3)
