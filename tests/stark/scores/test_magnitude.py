"""Norms of units' weights."""

import pytest

from stark.encoders.layers import encoder_layers
from stark.scores.magnitude import magnitudes
from tests.tiny import FAMILIES, tiny_classifier


@pytest.mark.parametrize("family", FAMILIES)
def test_magnitudes_are_norms_of_what_a_cut_removes(family):
    model = tiny_classifier(family)
    heads, neurons = magnitudes(model)
    for layer, head_norms, neuron_norms in zip(encoder_layers(model), heads, neurons, strict=True):
        for linear in (layer.query, layer.key, layer.value, layer.attention_output, layer.ffn_in, layer.ffn_out):
            linear.requires_grad_(False)
        for head in range(layer.num_heads):
            rows = slice(head * layer.head_size, (head + 1) * layer.head_size)
            parts = [linear.weight[rows] for linear in (layer.query, layer.key, layer.value)]
            parts.append(layer.attention_output.weight[:, rows])
            norm = sum(float(part.square().sum()) for part in parts) ** 0.5
            assert float(head_norms[head]) == pytest.approx(norm, rel=1e-5)
        squares = layer.ffn_in.weight[7].square().sum() + layer.ffn_out.weight[:, 7].square().sum()
        assert float(neuron_norms[7]) == pytest.approx(float(squares) ** 0.5, rel=1e-5)
