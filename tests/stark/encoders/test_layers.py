"""The layers of every family, and their units."""

import pytest

from stark.encoders.cutting import shrink_
from stark.encoders.layers import count_parameters, encoder_layers, encoder_passes, kept_units
from stark.encoders.units import UnitMasks
from tests.tiny import FAMILIES, random_masks, tiny_classifier


@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_are_those_of_the_configuration(family):
    model = tiny_classifier(family)
    config = model.config
    layers = encoder_layers(model)
    assert len(encoder_passes(model)) == config.num_hidden_layers
    neurons = config.hidden_dim if family == "distilbert" else config.intermediate_size
    assert {(layer.num_heads, layer.num_neurons) for layer in layers} == {(config.num_attention_heads, neurons)}
    assert {layer.num_heads * layer.head_size for layer in layers} == {config.hidden_size}


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_of_the_encoder_are_the_whole_without_the_rest(family):
    model = tiny_classifier(family)
    whole, encoder = count_parameters(model)
    inside = {id(p) for layer in encoder_layers(model) for p in layer.module.parameters()}
    assert whole == model.num_parameters()
    assert whole - encoder == sum(p.numel() for p in model.parameters() if id(p) not in inside)


@pytest.mark.parametrize("family", FAMILIES)
def test_kept_units_are_those_of_the_masks(family):
    model = tiny_classifier(family)
    heads, neurons = random_masks(model)
    kept = kept_units(shrink_(model, UnitMasks(heads, neurons)))
    assert [list(layer) for layer in kept.heads] == [mask.nonzero().flatten().tolist() for mask in heads]
    assert [list(layer) for layer in kept.neurons] == [mask.nonzero().flatten().tolist() for mask in neurons]
    assert [layer.num_heads for layer in encoder_layers(model)] == [int(mask.sum()) for mask in heads]
