"""Norms of units' weights."""

import copy

import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers
from stark.scores.magnitude import magnitudes
from tests.tiny import FAMILIES, ones, random_masks, tiny_classifier


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_magnitudes_are_norms_of_what_a_cut_removes(family):
    """Without biases: these are set to zero."""
    model = tiny_classifier(family)
    norms = magnitudes(model)
    for number, (layer, *values) in enumerate(zip(encoder_layers(model), *norms, strict=True)):
        for name, parameter in layer.module.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
        whole = squares(layer.module)
        for kind, found in enumerate(values):
            masks = ones(model)
            masks[kind][number][1] = 0
            cut = encoder_layers(shrink_(copy.deepcopy(model), masks))[number]
            assert float(found[1]) == pytest.approx((whole - squares(cut.module)) ** 0.5, rel=1e-5)


def squares(module):
    return sum(float(parameter.double().square().sum()) for parameter in module.parameters())


def test_a_layer_without_heads_and_neurons_has_no_norms():
    model = tiny_classifier()
    shrink_(model, random_masks(model, empty_heads=0, empty_neurons=1))
    heads, neurons = magnitudes(model)
    assert [len(norms) for norms in heads] == [layer.num_heads for layer in encoder_layers(model)]
    assert (len(heads[0]), len(neurons[1])) == (0, 0)
