"""Budgets."""

import pytest
import torch

from stark.budgets.budget import Units
from stark.budgets.sparsity import masks_at_sparsity
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
