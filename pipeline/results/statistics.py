"""Confidence intervals for scores and their differences, and McNemar's test."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from scipy.stats import binomtest
from scipy.stats import norm as normal
from scipy.stats import t as student
from torch import Tensor

from stark.errors import StarkError
from stark.problems.ranking_metrics import GroupMean

__all__ = [
    "Cell",
    "Estimate",
    "Metric",
    "estimate_difference",
    "estimate_difference_of_means",
    "estimate_score",
    "mcnemar",
    "standard_error",
]

Metric = Callable[[Tensor, Tensor], float]
"""Function of predictions and labels of rows that returns a number. With a `GroupMean`, whole groups are drawn."""

_LEVEL = 0.95


@dataclass(frozen=True)
class Cell:
    """The predictions of two methods for the evaluation rows of a task, with one shape of student.

    Args:
        task: Cells of a task have the same rows; these are drawn together.
        student: Shape of the student, such as ``70 %``.
        labels: ``(rows,)``; ``(rows, labels)`` where a row may have several, as in predictions; ``(rows, 2)`` with
            groups, whose predictions are ``(seeds, rows)``.
        control: Predictions of the first method, ``(seeds, rows)``.
        treated: Predictions of the second method, ``(seeds, rows)``, with the same seeds in the same order.
        metric: Metric of the task.
    """

    task: str
    student: str
    labels: Tensor
    control: Tensor
    treated: Tensor
    metric: Metric

    def __post_init__(self) -> None:
        """Check that both have the same shape."""
        if self.control.shape != self.treated.shape or self.control.shape[1] != len(self.labels):
            shapes = [tuple(tensor.shape) for tensor in (self.control, self.treated, self.labels)]
            raise StarkError(f"{self.task}, {self.student}: predictions and labels have the shapes {shapes}")

    def by_units(self) -> Cell:
        """The same cell with a row for each group, if the metric is a mean over groups, for an interval draws these."""
        labels, metric, (control, treated) = _by_units(self.labels, self.metric, self.control, self.treated)
        return replace(self, labels=labels, metric=metric, control=control, treated=treated)

    def differences(self, rows: Tensor) -> Tensor:
        """Treated minus control for each seed, ``(seeds,)``, on the given rows, which may repeat."""
        labels = self.labels[rows]
        pairs = zip(self.treated[:, rows], self.control[:, rows], strict=True)
        values = [self.metric(treated, labels) - self.metric(control, labels) for treated, control in pairs]
        return torch.tensor(values, dtype=torch.float64)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % confidence interval.

    Args:
        value: The value on all seeds and rows.
        low: Lower end of the interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def estimate_difference(cells: Sequence[Cell], draws: int = 1000, seed: int = 0) -> Estimate:
    r"""The mean over cells of treated minus control, with a 95 % confidence interval.

    With several seeds the interval holds for other seeds and other rows. Let $d_s$ be the difference of seed s, of S
    seeds. Half of its width is

    $$\sqrt{t^2_{S-1} \frac{\mathrm{var}(d_s)}{S} + z^2 V_{rows}}.$$

    The first part is Student's interval over seeds. It contains the noise of seeds and what rows do differently for
    each seed, and is wide where seeds are few: t is 12.7 for two seeds, 4.3 for three, 2.8 for five. $V_{rows}$ is the
    variance, over draws of rows with replacement, of what all seeds have in common: the variance of the mean over
    seeds, less the part that the first term has already. With several tasks, whose rows and seeds are independent, the
    variances are added, and the degrees of freedom are Satterthwaite's.

    With a single seed the interval is the percentile bootstrap over rows, and holds for other rows only.

    Where a metric is a mean over groups of rows, such as queries, whole groups take the place of rows in all of this.

    What was done once, such as the finetuning of the teacher, is taken as it is: no interval holds for another teacher.

    Source: the variance components of a crossed design, see Owen, 2007, "The pigeonhole bootstrap". That bootstrap was
    used here before. Its percentiles are too narrow with few seeds: in simulations they covered 70 to 88 % with two or
    three seeds on thousands of rows. The interval above covered 94 to 98 % with 2 to 5 seeds and 400 to 8,000 rows
    (`tests/pipeline/results/test_statistics.py`).

    Args:
        cells: One cell or more. Cells of a task have the same rows and seeds.
        draws: Number of draws of rows.
        seed: Seed of the draws.

    Returns:
        The estimate.

    Raises:
        StarkError: If there is no cell, or cells of a task have different rows or numbers of seeds.

    Examples:
        >>> def accuracy(predicted, labels):
        ...     return float((predicted == labels).double().mean())
        >>> labels = torch.zeros(4)
        >>> cell = Cell("rte", "70 %", labels, torch.ones(2, 4), torch.zeros(2, 4), accuracy)
        >>> estimate_difference([cell], draws=10)
        Estimate(value=1.0, low=1.0, high=1.0)
    """
    if not cells:
        raise StarkError("there is no cell to estimate a difference from")
    by_task: dict[str, list[Cell]] = {}
    for cell in cells:
        first = by_task.setdefault(cell.task, []) or [cell]
        if not torch.equal(first[0].labels, cell.labels) or first[0].control.shape != cell.control.shape:
            raise StarkError(f"the cells of task {cell.task} have different rows or numbers of seeds")
        by_task[cell.task].append(cell)
    by_task = {task: [cell.by_units() for cell in own] for task, own in by_task.items()}

    def of_task(own: Sequence[Cell]) -> Callable[[Tensor], Tensor]:
        return lambda rows: torch.stack([cell.differences(rows) for cell in own]).sum(0) / len(cells)

    generator = torch.Generator().manual_seed(seed)
    return _interval(
        [_Task(len(own[0].labels), of_task(own)) for own in by_task.values()], draws=draws, generator=generator
    )


def estimate_difference_of_means(control: Tensor, treated: Tensor, labels: Tensor, metric: Metric) -> Estimate:
    """The difference of two methods' mean scores on the same rows, where their seeds are not the same.

    Args:
        control: Predictions of the first method, ``(seeds, rows)``.
        treated: Predictions of the second method, ``(seeds, rows)``; the number of seeds may differ.
        labels: ``(rows,)``.
        metric: Metric of the task.

    Returns:
        The mean over seeds of the second method minus that of the first. The interval is the percentile bootstrap over
        rows. It takes the seeds as they are: it does not hold for other seeds.

    Examples:
        >>> def accuracy(predicted, labels):
        ...     return float((predicted == labels).double().mean())
        >>> labels = torch.zeros(4)
        >>> estimate_difference_of_means(torch.ones(1, 4), torch.zeros(3, 4), labels, accuracy)
        Estimate(value=1.0, low=1.0, high=1.0)
    """
    labels, metric, (control, treated) = _by_units(labels, metric, control, treated)

    def mean(said: Tensor, rows: Tensor) -> float:
        return sum(metric(own[rows], labels[rows]) for own in said) / len(said)

    def of_rows(rows: Tensor) -> Tensor:
        return torch.tensor([mean(treated, rows) - mean(control, rows)], dtype=torch.float64)

    return _interval([_Task(len(labels), of_rows)], draws=1000, generator=torch.Generator().manual_seed(0))


def estimate_score(said: Tensor, labels: Tensor, metric: Metric, draws: int = 1000, seed: int = 0) -> Estimate:
    """A method's score, with a 95 % confidence interval; see `estimate_difference`.

    Args:
        said: Predictions ``(seeds, rows)``.
        labels: ``(rows,)``.
        metric: Metric of the task, which is at most 1.
        draws: Number of draws of rows.
        seed: Seed of the draws.

    Returns:
        The estimate. Its value is the mean over seeds.

    Examples:
        >>> def accuracy(predicted, labels):
        ...     return float((predicted == labels).double().mean())
        >>> estimate_score(torch.tensor([[1, 1, 0, 0]]), torch.tensor([1, 1, 1, 1]), accuracy, draws=200)
        Estimate(value=0.5, low=0.0, high=1.0)
    """
    labels, metric, (said,) = _by_units(labels, metric, said)

    def scores(rows: Tensor) -> Tensor:
        return torch.tensor([metric(own[rows], labels[rows]) for own in said], dtype=torch.float64)

    found = _interval([_Task(len(labels), scores)], draws=draws, generator=torch.Generator().manual_seed(seed))
    return Estimate(found.value, found.low, min(found.high, 1.0))


def standard_error(cell: Cell, draws: int = 200, seed: int = 0) -> float:
    """The standard error of a cell's difference over other rows, with its seeds as they are.

    Args:
        cell: The cell.
        draws: Number of draws of rows.
        seed: Seed of the draws.

    Returns:
        The standard deviation over draws of rows with replacement.
    """
    cell = cell.by_units()
    generator, rows = torch.Generator().manual_seed(seed), len(cell.labels)
    drawn = [cell.differences(torch.randint(rows, (rows,), generator=generator)).mean() for _ in range(draws)]
    return float(torch.stack(drawn).std())


def _by_units(labels: Tensor, metric: Metric, *said: Tensor) -> tuple[Tensor, Metric, list[Tensor]]:
    """Labels, metric and predictions with a row for each group, whose prediction is its value, if there are groups."""
    if not isinstance(metric, GroupMean):
        return labels, metric, list(said)
    values = [torch.stack([metric.of_groups(own, labels) for own in each]) for each in said]
    if not values[0].shape[1]:  # no group has a value, and the score is 0
        values = [each.new_zeros(len(each), 1) for each in values]
    return torch.zeros(values[0].shape[1]), _mean, values


def _mean(values: Tensor, labels: Tensor) -> float:
    return float(values.mean())


class _Task(NamedTuple):
    """A task: its number of rows, and a function from row numbers to one value per seed, ``(seeds,)``."""

    rows: int
    values: Callable[[Tensor], Tensor]


def _interval(tasks: Sequence[_Task], draws: int, generator: torch.Generator) -> Estimate:
    """Estimate the sum over tasks of the mean over seeds."""
    value, of_rows, by_seeds = 0.0, 0.0, list[tuple[float, int]]()
    total = torch.zeros(draws, dtype=torch.float64)
    for task in tasks:
        found = task.values(torch.arange(task.rows))
        drawn = torch.stack(
            [task.values(torch.randint(task.rows, (task.rows,), generator=generator)) for _ in range(draws)]
        )
        value += float(found.mean())
        total += drawn.mean(1)
        own = 0.0  # what the rows do for each seed by itself, which is among the differences of seeds
        if (seeds := len(found)) > 1:
            by_seeds.append((float(found.var()) / seeds, seeds - 1))
            own = float(drawn.var(0).mean() - drawn.mean(1).var()) / (seeds - 1)
        of_rows += max(float(drawn.mean(1).var()) - max(own, 0.0), 0.0)
    tail = (1 - _LEVEL) / 2
    if not by_seeds:
        low, high = torch.quantile(total, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
        return Estimate(value, low, high)
    of_seeds = sum(variance for variance, _ in by_seeds)
    spread = sum(variance**2 / freedom for variance, freedom in by_seeds)
    quantile = float(student.ppf(1 - tail, of_seeds**2 / spread)) if spread > 0 else 0.0
    half = math.sqrt(quantile**2 * of_seeds + float(normal.ppf(1 - tail)) ** 2 * of_rows)
    return Estimate(value, value - half, value + half)


def mcnemar(control: Tensor, treated: Tensor, labels: Tensor) -> float:
    """Exact McNemar's test of two classifiers on the same rows.

    Of the rows that just one of them gets right, each should be right as often if they were equally good.

    Args:
        control: Predictions ``(rows,)``.
        treated: Predictions ``(rows,)``.
        labels: ``(rows,)``.

    Returns:
        The two-sided p-value; 1 where they are right on the same rows.

    Examples:
        >>> labels = torch.zeros(6)
        >>> mcnemar(torch.ones(6), labels, labels)
        0.03125
    """
    right, right_treated = control == labels, treated == labels
    only_control, only_treated = int((right & ~right_treated).sum()), int((~right & right_treated).sum())
    if only_control + only_treated == 0:
        return 1.0
    return float(binomtest(only_control, only_control + only_treated).pvalue)
