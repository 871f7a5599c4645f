"""Budgets."""

import pytest
import torch

from stark.budgets.budget import Units
from stark.budgets.sparsity import masks_at_sparsity
from stark.errors import StarkError
from stark.scores.random import Random
from tests.tiny import tiny_classifier


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.6])
def test_units_are_counted_over_all_layers(sparsity):
    model = tiny_classifier(layers=3)
    values = Random(3).values(model, None)
    masks = Units().masks(values, model, sparsity)
    for kind, expected, units in zip(masks, values, (12, 192), strict=True):
        assert sum(int((~mask).sum()) for mask in kind) == round(sparsity * units)
        assert all(torch.equal(*pair) for pair in zip(kind, masks_at_sparsity(expected, sparsity), strict=True))


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.6])
def test_units_per_layer_are_the_best_of_each_layer(sparsity):
    model = tiny_classifier(layers=3)
    values = Random(3).values(model, None)
    for kind, expected in zip(Units(per_layer=True).masks(values, model, sparsity), values, strict=True):
        for mask, value in zip(kind, expected, strict=True):
            best = sorted(value.tolist(), reverse=True)[: len(value) - round(sparsity * len(value))]
            assert sorted(value[mask].tolist(), reverse=True) == best


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.75])
def test_each_layer_keeps_its_floor_and_all_together_what_they_kept_without(sparsity):
    model = tiny_classifier(layers=3)
    values = Random(3).values(model, None)
    values.neurons[1].mul_(1e-3)  # without a floor this layer would lose everything
    free, floored = (Units(floor=floor).masks(values, model, sparsity) for floor in (0.0, 0.25))
    for kind, without, of in zip(floored, free, values, strict=True):
        assert sum(int(mask.sum()) for mask in kind) == sum(int(mask.sum()) for mask in without)
        for mask, value in zip(kind, of, strict=True):
            assert int(mask.sum()) >= len(value) / 4
            if mask.any() and not mask.all():
                assert value[mask].min() > value[~mask].max()
    if sparsity == 0.75:
        assert int(free.neurons[1].sum()) < 16 == int(floored.neurons[1].sum())


def test_floors_that_cannot_be_kept_are_refused():
    model = tiny_classifier(layers=3)
    values = Random(3).values(model, None)
    with pytest.raises(StarkError, match=r"floor is 0.3, by which the layers keep 6 of 12 .* sparsity 0.6 leaves 5"):
        Units(floor=0.3).masks(values, model, 0.6)
    with pytest.raises(StarkError, match="floor is 1: give the fraction"):
        Units(floor=1)
