"""FLOPs, counted by torch on the cut model."""

import pytest

from pipeline.results.measure import count_flops
from stark.budgets.flops import FLOPs
from stark.errors import StarkError
from tests.stark.budgets.counting import fraction_left
from tests.tiny import FAMILIES


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_cut_model_computes_what_the_sparsity_leaves(family, sparsity):
    left = fraction_left(family, FLOPs(16), sparsity, lambda model: count_flops(model, 1, 16))
    # One head of twelve is a large part of a tiny model.
    assert 1 - sparsity - 0.1 < left <= 1 - sparsity + 1e-9


def test_rows_without_tokens_are_refused():
    with pytest.raises(StarkError, match="length is 0: give the number of tokens"):
        FLOPs(0)
