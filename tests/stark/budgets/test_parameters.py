"""Parameters, counted on the cut model."""

import pytest

from stark.budgets.parameters import Parameters
from tests.stark.budgets.counting import fraction_left
from tests.tiny import FAMILIES


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_cut_model_has_what_the_sparsity_leaves(family, sparsity):
    left = fraction_left(family, Parameters(), sparsity, lambda model: sum(p.numel() for p in model.parameters()))
    # One head of twelve is a large part of a tiny model.
    assert 1 - sparsity - 0.1 < left <= 1 - sparsity + 1e-9
