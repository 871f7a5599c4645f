"""What all budgets share that add up a cost."""

import pytest

from stark.budgets.cost import UnitCostBudget, UnitCosts
from stark.budgets.parameters import Parameters
from stark.errors import StarkError
from stark.scores.random import Random
from tests.tiny import tiny_classifier


class Heads(UnitCostBudget):
    """Only heads cost something."""

    def unit_costs(self, layer):
        return UnitCosts(1.0, 0.0)


@pytest.mark.parametrize("sparsity", [0.1, 0.45, 0.8])
def test_what_a_sparsity_drops_every_higher_one_drops(sparsity):
    model = tiny_classifier(layers=3)
    values = Random(2).values(model, None)
    lower, higher = (Parameters().masks(values, model, one) for one in (sparsity, sparsity + 0.1))
    for kinds in zip(lower, higher, strict=True):
        assert all((low | ~high).all() for low, high in zip(*kinds, strict=True))


def test_another_cost_is_a_small_class():
    model = tiny_classifier(layers=3)
    masks = Heads().masks(Random(2).values(model, None), model, 0.5)
    assert sum(int(mask.sum()) for mask in masks.heads) == 6


def test_wrong_settings_are_refused():
    model = tiny_classifier()
    with pytest.raises(StarkError, match="give the fraction of units to remove"):
        Parameters().masks(Random(2).values(model, None), model, 1.0)
