"""Dropping of layers."""

import copy

import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.encoders.families.table import FAMILIES as SUPPORTED
from stark.encoders.layer_dropping import drop_layers, drop_layers_, layers_to_keep
from stark.encoders.layers import encoder_layers, kept_units
from stark.errors import StarkError
from tests.tiny import OWN_LAYERS, logits, random_masks, tiny_batch, tiny_classifier


@pytest.mark.parametrize("shrunk", [False, True])
@pytest.mark.parametrize("family", OWN_LAYERS)
def test_dropping_layers_equals_skipping_them(family, shrunk):
    model = tiny_classifier(family, layers=4).double()
    if shrunk:
        shrink_(model, random_masks(model))
    skipped = copy.deepcopy(model)
    keep = [0, 3] if SUPPORTED[family].first_layer_differs else [1, 3]
    for number in {0, 1, 2, 3}.difference(keep):
        skip = encoder_layers(skipped)[number].module
        computed = skip.forward

        def forward(hidden_states, *args, computed=computed, **kwargs):
            is_tensor = isinstance(computed(hidden_states, *args, **kwargs), torch.Tensor)
            return hidden_states if is_tensor else (hidden_states, None)

        skip.forward = forward
    model_type, units = model.config.model_type, kept_units(model)
    drop_layers_(model, keep)
    assert torch.equal(logits(model), logits(skipped))
    assert model.config.num_hidden_layers == len(encoder_layers(model)) == 2
    assert model.config.model_type == model_type
    assert kept_units(model) == units.of_layers(keep)
    numbers = {m.layer_idx for m in model.modules() if hasattr(m, "layer_idx") and m.layer_idx is not None}
    assert numbers in (set(), {0, 1})


def test_a_first_layer_that_differs_is_not_dropped():
    with pytest.raises(StarkError, match="the first layer of modernbert has other parts than the others"):
        drop_layers(tiny_classifier("modernbert", layers=4), 2, "last")


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
