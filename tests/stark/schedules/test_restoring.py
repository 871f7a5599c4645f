"""The schedule by which a teacher's sparsity falls."""

import pytest

from stark.schedules.restoring import restored_sparsity


def test_sparsities_fall_to_none_and_one_epoch_stays_sparse():
    assert [restored_sparsity(0.4, epoch, 5) for epoch in range(5)] == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0])
    assert restored_sparsity(0.4, 0, 1) == 0.4
