"""What is left of a model after a cut, counted on the model itself."""

import torch

from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers
from stark.encoders.units import UnitMasks
from stark.scores.random import Random
from tests.tiny import tiny_classifier


def fraction_left(family, budget, sparsity, count):
    """The part of the units' cost that a model has after a cut; `count` counts what a whole model costs."""
    # In ALBERT, the first of two layers computes two of three passes.
    sizes = {"layers": 3, "heads": 8, "further": {"num_hidden_groups": 2}} if family == "albert" else {"layers": 3}
    model, bare = tiny_classifier(family, **sizes), tiny_classifier(family, **sizes)
    masks = budget.masks(Random(1).values(model, None), model, sparsity)
    layers = encoder_layers(bare)
    no_heads = [torch.zeros(layer.num_heads).bool() for layer in layers]
    shrink_(bare, UnitMasks(no_heads, [torch.zeros(layer.num_neurons).bool() for layer in layers]))
    whole, least = count(model), count(bare)
    return (count(shrink_(model, masks)) - least) / (whole - least)
