"""Linears of units in blocks."""

import pytest
import torch
from torch import nn

from stark.encoders.layer_view import UnitLinear
from stark.encoders.layers import encoder_layers
from tests.tiny import FAMILIES, tiny_classifier


@pytest.mark.parametrize("blocks", [1, 3])
def test_rows_and_parts_are_those_of_a_reshaped_weight(blocks):
    one = UnitLinear(nn.Linear(5, blocks * 4 * 2), blocks)
    units = torch.tensor([0, 3])
    parts = one.linear.weight.view(blocks, 4, 2, 5)
    expected = parts[:, units].reshape(-1, 5)
    assert torch.equal(one.linear.weight[one.rows(units, width=2)], expected)
    assert torch.equal(torch.stack(one.split(one.linear.weight, 0)), parts.flatten(1, 2))


def test_a_linear_without_units_has_empty_parts():
    one = UnitLinear(nn.Linear(5, 6), blocks=3)
    one.linear.out_features = 0
    assert [part.shape for part in one.split(torch.zeros(2, 0), -1)] == [(2, 0)] * 3
    assert one.rows(torch.tensor([], dtype=torch.long), width=2).shape == (0,)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_of_units_are_all_of_their_linears(family):
    for layer in encoder_layers(tiny_classifier(family)):
        for weights, before, after in (
            (layer.head_weights(), layer.into_heads, layer.attention_output),
            (layer.neuron_weights(), layer.into_neurons, layer.ffn_out),
        ):
            total = sum(one.linear.weight.square().sum() for one in before) + after.weight.square().sum()
            torch.testing.assert_close(weights.square().sum(), total)
