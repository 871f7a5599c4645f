import math

import pytest

from stark.budgets.checks import check_sparsity


@pytest.mark.parametrize("sparsity", [0, 0.3, math.nextafter(1, 0)])
def test_fractions_are_given_back(sparsity):
    assert check_sparsity(sparsity) == sparsity


@pytest.mark.parametrize("sparsity", [-0.1, 1, 1.5, 70, math.nan])
def test_anything_else_is_refused(sparsity):
    with pytest.raises(ValueError, match="give the fraction of units to remove"):
        check_sparsity(sparsity)


def test_percent_is_translated():
    with pytest.raises(ValueError, match=r"\(0.7 for 70 %\)"):
        check_sparsity(70)
