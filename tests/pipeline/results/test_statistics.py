"""Statistics, compared with closed forms and other libraries, and the coverage of their intervals."""

import pytest
import torch
from scipy import stats
from sklearn.metrics import f1_score

from pipeline.results.statistics import Cell, estimate_difference, mcnemar


def accuracy(predicted, labels):
    return float((predicted == labels).double().mean())


def made(seeds=3, rows=200, better=0.0, task="rte", student="70 %", seed=0, metric=accuracy):
    """Predictions of two methods: the control is right on 70 % of the rows, the other one on `better` more."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (rows,), generator=generator)
    right = [torch.rand(seeds, rows, generator=generator) < chance for chance in (0.7, 0.7 + better)]
    control, treated = (torch.where(hit, labels, 1 - labels) for hit in right)
    return Cell(task, student, labels, control, treated, metric)


def test_the_value_is_the_mean_over_cells_of_the_mean_over_seeds():
    cells = [made(), made(seed=1, task="mrpc", metric=lambda predicted, labels: f1_score(labels, predicted))]
    first, second = (
        sum(cell.metric(cell.treated[s], cell.labels) - cell.metric(cell.control[s], cell.labels) for s in range(3)) / 3
        for cell in cells
    )
    found = estimate_difference(cells, draws=20)
    assert found.value == pytest.approx((first + second) / 2)
    assert found.low < found.value < found.high


def test_rows_alone_give_the_interval_of_a_mean():
    """With one seed, the bootstrap of rows is that of the mean of their differences, which is nearly normal."""
    cell = made(seeds=1, rows=2000, better=0.05)
    found = estimate_difference([cell], draws=1000)
    differences = (cell.treated[0] == cell.labels).double() - (cell.control[0] == cell.labels).double()
    error = float(differences.std()) / 2000**0.5
    assert found.high - found.low == pytest.approx(2 * stats.norm.ppf(0.975) * error, rel=0.1)


def test_seeds_widen_the_interval():
    """Each seed is right on all rows or on none, so only the seed varies."""
    labels = torch.zeros(50, dtype=torch.long)
    control = torch.ones(6, 50, dtype=torch.long)
    treated = torch.tensor([0, 1, 0, 1, 0, 1])[:, None].expand(6, 50)
    found = estimate_difference([Cell("rte", "x", labels, control, treated, accuracy)], draws=2000)
    low, high = stats.binom(6, 0.5).ppf([0.025, 0.975]) / 6
    assert (found.value, found.low, found.high) == pytest.approx((0.5, low, high))


def test_students_of_a_task_share_the_rows():
    """Two cells whose differences cancel on each row have no uncertainty if both get the same rows."""
    cell = made(seeds=2)
    other = Cell("rte", "90 %", cell.labels, cell.treated, cell.control, accuracy)
    found = estimate_difference([cell, other], draws=50)
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 0), abs=1e-12)


def test_coverage_where_there_is_no_difference():
    held = [
        found.low <= 0 <= found.high
        for number in range(60)
        for found in [estimate_difference([made(seeds=4, rows=100, seed=number)], draws=100)]
    ]
    assert stats.binomtest(sum(held), len(held), 0.95, alternative="less").pvalue > 0.01


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match="no cell"):
        estimate_difference([])
    with pytest.raises(ValueError, match="different rows or numbers of seeds"):
        estimate_difference([made(), made(seed=1)])
    cell = made()
    with pytest.raises(ValueError, match=r"rte, x: predictions and labels have the shapes"):
        Cell("rte", "x", cell.labels, cell.control, cell.treated[:2], accuracy)


@pytest.mark.parametrize("seed", range(3))
def test_mcnemar_is_the_binomial_test(seed):
    cell = made(better=0.1, rows=60, seed=seed)
    control, treated = cell.control[0], cell.treated[0]
    wins = int(((control != cell.labels) & (treated == cell.labels)).sum())
    losses = int(((control == cell.labels) & (treated != cell.labels)).sum())
    tail = stats.binom(wins + losses, 0.5).cdf(min(wins, losses))
    assert mcnemar(control, treated, cell.labels) == pytest.approx(min(1, 2 * tail))
    assert mcnemar(control, control, cell.labels) == 1
