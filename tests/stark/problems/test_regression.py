"""Labels that are scores."""

import math
import random
from collections import Counter

import pytest
import torch
from scipy.stats import pearsonr

from stark.errors import StarkError
from stark.problems.regression import score_bins
from tests.tiny import problem


def test_equal_scores_are_binned_in_their_order():
    draw = random.Random(0)
    scores = [draw.randrange(9) / 3 for _ in range(501)]
    expected = [0] * 501
    for rank, row in enumerate(sorted(range(501), key=scores.__getitem__)):
        expected[row] = rank * 10 // 501
    assert score_bins(scores).tolist() == score_bins(torch.tensor(scores)).tolist() == expected


def test_score_bins_are_equally_full_and_ordered():
    scores = [(i * 37 % 101) / 20 for i in range(100)]
    bins = score_bins(scores).tolist()
    assert Counter(bins) == dict.fromkeys(range(10), 10)
    assert [bins[row] for row in sorted(range(100), key=scores.__getitem__)] == sorted(bins)


def test_agreement_is_pearsons_correlation():
    first, second = torch.randn(2, 50, 1, generator=torch.Generator().manual_seed(0))
    assert problem(1).agreement(first, first + second) == pytest.approx(
        pearsonr(first.flatten(), (first + second).flatten())[0]
    )
    assert problem(1).agreement(first, torch.ones(50, 1)) == 0


def test_scores_are_shown_as_they_are_and_have_no_calibration():
    logits = torch.tensor([[1.5], [2.5]])
    assert problem(1).probabilities(logits) is logits
    assert problem(1).predictions(logits).tolist() == [1.5, 2.5]
    assert problem(1).calibration_error(logits, torch.zeros(2), 15) is None
    assert problem(1).strata(torch.arange(20.0)).tolist() == [number // 2 for number in range(20)]


@pytest.mark.parametrize(
    ("scores", "unit"),
    [
        ([0.0, 2.5, 5.0, 3.0], 1.0),  # STS-B's scale stays, as the paper trains it
        ([0.0, 50.0, 100.0], 64.0),
        ([0.01, 0.02, 0.03], 0.0078125),
        ([1000.0, 1001.0, 1002.0], 1.0),
        ([0.0, 50.0, 100.0, math.nan], 64.0),
        ([7.0, 7.0, 7.0], 1.0),
        ([7.0], 1.0),
    ],
)
def test_losses_are_in_a_unit_near_the_standard_deviation(scores, unit):
    labels = torch.tensor(scores)
    scaled = problem(1).for_train(labels)
    known = labels[~labels.isnan()]
    assert scaled.unit == unit
    if unit != 1 or known.mean() > 100:
        assert scaled.start == pytest.approx(float(known.mean()))
        assert "standardised in the fit" in scaled.note
    else:
        assert scaled.note == ""
    logits = torch.randn(len(scores), 1, generator=torch.Generator().manual_seed(0))
    expected = ((logits.flatten() - labels) / unit).square().nan_to_num()
    torch.testing.assert_close(scaled.task_loss(logits, labels, "none"), expected)
    other = logits.flip(0)
    torch.testing.assert_close(scaled.squared_error(logits, other, "none"), ((logits - other) / unit).square()[:, 0])


def test_scores_have_no_class_weights():
    with pytest.raises(StarkError, match="regression has none"):
        problem(1).for_train(torch.tensor([0.0, 1.0]), "balanced")
