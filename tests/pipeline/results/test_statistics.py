"""Statistics, compared with closed forms and other libraries, and the coverage of their intervals."""

import pytest
import torch
from scipy import stats
from sklearn.metrics import f1_score

from pipeline.results.statistics import (
    Cell,
    estimate_difference,
    estimate_difference_of_means,
    estimate_score,
    mcnemar,
    standard_error,
)
from stark.problems.ranking_metrics import GroupMean


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


def test_seeds_that_are_not_the_same_are_taken_as_they_are():
    """The interval is the normal one of the rows' differences, each of which is the difference of means over seeds."""
    cell, other = made(seeds=2, rows=2000, better=0.05), made(seeds=5, rows=2000, better=0.05)
    treated = torch.where(other.treated == other.labels, cell.labels, 1 - cell.labels)  # for the labels of the first
    found = estimate_difference_of_means(cell.control, treated, cell.labels, accuracy)
    rows = (treated == cell.labels).double().mean(0) - (cell.control == cell.labels).double().mean(0)
    assert found.value == pytest.approx(float(rows.mean()))
    half = stats.norm.ppf(0.975) * float(rows.std()) / 2000**0.5
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.1 * half)
    one = estimate_difference_of_means(cell.control[:1], cell.treated[:1], cell.labels, accuracy)
    alone = Cell("rte", "x", cell.labels, cell.control[:1], cell.treated[:1], accuracy)
    assert one == estimate_difference([alone])


def test_seeds_widen_the_interval():
    """Each seed is right on all rows or on none, so only the seed varies."""
    labels = torch.zeros(50, dtype=torch.long)
    control = torch.ones(6, 50, dtype=torch.long)
    treated = torch.tensor([0, 1, 0, 1, 0, 1])[:, None].expand(6, 50)
    found = estimate_difference([Cell("rte", "x", labels, control, treated, accuracy)], draws=200)
    differences = [0.0, 1.0] * 3
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, low, high))


def test_rows_that_all_seeds_share_are_counted_once():
    """Seeds that predict the same have no noise: the interval is that of a single seed, by a normal distribution."""
    cell = made(seeds=1, rows=2000, better=0.05)
    repeated = Cell("rte", "x", cell.labels, cell.control.expand(4, -1), cell.treated.expand(4, -1), accuracy)
    one, four = (estimate_difference([each], draws=2000) for each in (cell, repeated))
    assert four.value == pytest.approx(one.value)
    assert four.high - four.low == pytest.approx(one.high - one.low, rel=0.05)


def test_tasks_are_independent():
    """Two tasks that are alike: the mean has half of the variance, and twice the degrees of freedom."""
    cells = [made(seeds=3, seed=seed, task=str(seed), rows=20) for seed in (1, 2)]
    means = [cell.differences(torch.arange(20)) for cell in cells]
    both = estimate_difference(cells, draws=400)
    # 20 rows that each seed answers by itself: hardly anything is common to the seeds.
    error = (float(means[0].var() + means[1].var()) / 3) ** 0.5 / 2
    parts = [float(mean.var()) / 3 for mean in means]
    freedom = sum(parts) ** 2 / sum(part**2 / 2 for part in parts)
    assert (both.high - both.low) / 2 >= stats.t.ppf(0.975, freedom) * error * (1 - 1e-9)
    assert both.value == pytest.approx(float(means[0].mean() + means[1].mean()) / 2)


def test_students_of_a_task_share_the_rows():
    """Two cells whose differences cancel on each row have no uncertainty if both get the same rows."""
    cell = made(seeds=2)
    other = Cell("rte", "90 %", cell.labels, cell.treated, cell.control, accuracy)
    found = estimate_difference([cell, other], draws=50)
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 0), abs=1e-12)


def simulated(generator, seeds, rows, seed_noise, row_noise):
    """Two methods that are equally good, each seed of each a bit better or worse, each row easier for one of them."""
    of_seeds = seed_noise * torch.randn(seeds, 1, generator=generator)
    of_rows = row_noise * torch.randn(1, rows, generator=generator)
    chance = (0.8 + of_seeds + of_rows).clamp(0, 1), (0.8 - of_seeds - of_rows).clamp(0, 1)
    labels = torch.zeros(rows)
    first, second = ((torch.rand(seeds, rows, generator=generator) > each).float() for each in chance)
    return Cell("rte", "70 %", labels, first, second, accuracy)


def coverage(seeds, rows, seed_noise, row_noise, number, draws):
    generator = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(number):
        found = estimate_difference([simulated(generator, seeds, rows, seed_noise, row_noise)], draws=draws)
        held += found.low <= 0 <= found.high
    return held / number


@pytest.mark.parametrize(("seeds", "rows", "seed_noise", "row_noise"), [(3, 400, 0.01, 0.1), (2, 200, 0.03, 0.0)])
def test_coverage_where_there_is_no_difference(seeds, rows, seed_noise, row_noise):
    assert coverage(seeds, rows, seed_noise, row_noise, number=150, draws=50) >= 0.95 - 3 * 0.018  # standard errors


@pytest.mark.slow
@pytest.mark.parametrize("seed_noise", [0.005, 0.02])
@pytest.mark.parametrize("rows", [400, 8000])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_coverage_is_near_95_percent_everywhere(seeds, rows, seed_noise):
    """At least three standard errors of 150 simulations below 95 %."""
    assert coverage(seeds, rows, seed_noise, row_noise=0.1, number=150, draws=40) >= 0.95 - 3 * 0.018


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


def test_whole_groups_are_drawn():
    """Rows of a group are all right or all wrong, so that the intervals are those of the groups' values."""
    generator = torch.Generator().manual_seed(0)
    right = (torch.rand(3, 40, generator=generator) < 0.7).double()
    labels = torch.stack([torch.ones(400), torch.arange(400) % 40], dim=-1)

    def of_groups(predictions, labels):
        sums = torch.zeros(40, dtype=torch.float64).index_add_(0, labels[:, 1].long(), predictions.double())
        return sums / 10

    metric, said = GroupMean(of_groups), right.repeat(1, 10)
    zeros = torch.zeros(40)

    def mean(values, _):
        return float(values.mean())

    assert metric(said[0], labels) == pytest.approx(float(right[0].mean()))
    assert estimate_score(said[:1], labels, metric, draws=50) == estimate_score(right[:1], zeros, mean, draws=50)
    pair = (Cell("", "", labels, said[:1], said[1:2], metric), Cell("", "", zeros, right[:1], right[1:2], mean))
    assert len(pair[0].by_units().labels) == 40
    assert estimate_difference([pair[0]], draws=50) == estimate_difference([pair[1]], draws=50)
    assert standard_error(pair[0], draws=50) == standard_error(pair[1], draws=50)
    ours, theirs = (
        estimate_difference_of_means(given[:1], given[1:], own, score)
        for given, own, score in ((said, labels, metric), (right, zeros, mean))
    )
    assert ours == theirs
    alone = Cell("", "", torch.zeros(400), said[:1], said[1:2], mean)
    assert standard_error(pair[0], draws=50) > 2 * standard_error(alone, draws=50)  # rows are not independent


def test_a_score_without_any_group():
    found = estimate_score(torch.zeros(1, 3), torch.zeros(3, 2), GroupMean(lambda *_: torch.zeros(0)))
    assert (found.value, found.low, found.high) == (0, 0, 0)
