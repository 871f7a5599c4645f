"""How sure a difference between two ways of making students is: crossed bootstrap, and McNemar's test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from scipy.stats import binomtest
from torch import Tensor

from stark.errors import StarkError

__all__ = ["Cell", "Estimate", "Metric", "estimate_difference", "estimate_score", "mcnemar"]

Metric = Callable[[Tensor, Tensor], float]
"""From predictions and labels, each ``(rows,)``, to a number."""

_LEVEL = 0.95


@dataclass(frozen=True)
class Cell:
    """What two methods predict for the evaluation rows of a task, with one shape of student.

    Args:
        task: Cells of a task have the same rows; these are drawn together.
        student: Such as ``70 %``.
        labels: ``(rows,)``.
        control: Predictions of the one method, ``(seeds, rows)``.
        treated: Predictions of the other one, ``(seeds, rows)``, with the same seeds in the same order.
        metric: Metric of the task.
    """

    task: str
    student: str
    labels: Tensor
    control: Tensor
    treated: Tensor
    metric: Metric

    def __post_init__(self) -> None:
        """Check that the two belong together."""
        if self.control.shape != self.treated.shape or self.control.shape[1:] != self.labels.shape:
            shapes = [tuple(tensor.shape) for tensor in (self.control, self.treated, self.labels)]
            raise StarkError(f"{self.task}, {self.student}: predictions and labels have the shapes {shapes}")

    def difference(self, seeds: Tensor, rows: Tensor) -> float:
        """Treated minus control, the mean over seeds, on some seeds and rows, each as often as it is given."""
        labels, values = self.labels[rows], []
        for seed in seeds.tolist():
            treated, control = self.treated[seed, rows], self.control[seed, rows]
            values.append(self.metric(treated, labels) - self.metric(control, labels))
        return sum(values) / len(values)


@dataclass(frozen=True)
class Estimate:
    """A difference with its 95 % interval.

    Args:
        value: The value on all seeds and rows.
        low: The 2.5 % quantile of the bootstrap.
        high: The 97.5 % quantile.
    """

    value: float
    low: float
    high: float


def estimate_difference(cells: Sequence[Cell], draws: int = 1000, seed: int = 0) -> Estimate:
    """The mean over cells of treated minus control, with an interval for other seeds and other rows.

    Seeds and rows are crossed: every seed predicts every row. So a draw takes as many seeds and as many rows as there
    are, with replacement, and all methods and students of a task get the same. What was done once, such as the
    finetuning of the teacher, is taken as it is: the interval does not hold for another teacher.

    Source: Owen, 2007, "The pigeonhole bootstrap", for two crossed factors; its intervals are rather too wide than too
    narrow.

    Args:
        cells: One cell or more.
        draws: Number of draws of the bootstrap.
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
    generator = torch.Generator().manual_seed(seed)

    def mean(choose: Callable[[int], Tensor]) -> float:
        values = []
        for found in by_task.values():
            seeds, rows = (choose(size) for size in found[0].control.shape)
            values += [cell.difference(seeds, rows) for cell in found]
        return sum(values) / len(values)

    return _bootstrapped(mean, draws, generator)


def estimate_score(said: Tensor, labels: Tensor, metric: Metric, draws: int = 1000, seed: int = 0) -> Estimate:
    """A method's score, with an interval for other seeds and other rows; with one seed for other rows alone.

    Seeds and rows are drawn as in `estimate_difference`.

    Args:
        said: Predictions ``(seeds, rows)``.
        labels: ``(rows,)``.
        metric: Metric of the task.
        draws: Number of draws of the bootstrap.
        seed: Seed of the draws.

    Returns:
        The estimate; its value is the mean over seeds.

    Examples:
        >>> def accuracy(predicted, labels):
        ...     return float((predicted == labels).double().mean())
        >>> estimate_score(torch.tensor([[1, 1, 0, 0]]), torch.tensor([1, 1, 1, 1]), accuracy, draws=200)
        Estimate(value=0.5, low=0.0, high=1.0)
    """

    def mean(choose: Callable[[int], Tensor]) -> float:
        seeds, rows = (choose(size) for size in said.shape)
        return sum(metric(said[number, rows], labels[rows]) for number in seeds.tolist()) / len(seeds)

    return _bootstrapped(mean, draws, torch.Generator().manual_seed(seed))


def _bootstrapped(mean: Callable[[Callable[[int], Tensor]], float], draws: int, generator: torch.Generator) -> Estimate:
    """A mean with the quantiles of its draws."""
    value = mean(torch.arange)
    drawn = torch.tensor(
        [mean(lambda size: torch.randint(size, (size,), generator=generator)) for _ in range(draws)],
        dtype=torch.float64,
    )
    tail = (1 - _LEVEL) / 2
    low, high = torch.quantile(drawn, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return Estimate(value, low, high)


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
