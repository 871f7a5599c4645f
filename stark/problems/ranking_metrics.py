"""Metrics of the order of the rows of each query: nDCG@10 and MRR@10."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities import dim_zero_cat

from stark.errors import StarkError

__all__ = ["CUTOFF", "METRICS", "GroupMean", "build_ranking_metrics", "ranking_score_function"]

METRICS = ("ndcg", "mrr")
"""Names of the metrics."""

CUTOFF = 10
"""Number of a query's first rows that count."""


@dataclass(frozen=True)
class GroupMean:
    """A score that is a mean over groups of rows, so that a confidence interval draws whole groups.

    Args:
        of_groups: Function of predictions and labels of rows that returns one number per group, ``(groups,)``. Which
            groups these are depends on the labels alone.

    Examples:
        >>> score = GroupMean(lambda predictions, labels: (predictions == labels).double().view(2, 2).mean(1))
        >>> score(torch.tensor([1, 0, 1, 1]), torch.tensor([1, 1, 1, 1]))
        0.75
    """

    of_groups: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, predictions: Tensor, labels: Tensor) -> float:
        """The mean over the groups; 0 if there is none."""
        values = self.of_groups(predictions, labels)
        return float(values.mean()) if len(values) else 0.0


class _OfQueries(Metric):
    """The mean over queries of a metric; keeps all rows, because those of a query may be in several batches."""

    full_state_update = False
    predictions: list[Tensor]
    labels: list[Tensor]

    def __init__(self, name: str) -> None:
        super().__init__()
        self._score = GroupMean(_FORMULAS[name])
        self.add_state("predictions", default=[], dist_reduce_fx="cat")
        self.add_state("labels", default=[], dist_reduce_fx="cat")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Keep rows."""
        self.predictions.append(preds.float())
        self.labels.append(target)

    def compute(self) -> Tensor:
        """Return the mean over the queries of all rows."""
        predictions = dim_zero_cat(self.predictions)
        return torch.tensor(self._score(predictions, dim_zero_cat(self.labels)), device=predictions.device)


def build_ranking_metrics(names: Sequence[str]) -> MetricCollection:
    """Build torchmetrics.

    Args:
        names: Names out of `METRICS`.

    Returns:
        The collection. It is updated with scores ``(batch,)``, of which larger ones come first, and with labels
        ``(batch, 2)``: the relevance of a row and the number of its query.

    Raises:
        StarkError: For an unknown name.

    Examples:
        >>> metrics = build_ranking_metrics(["mrr"])
        >>> metrics.update(torch.tensor([0.9, 0.8]), torch.tensor([[0.0, 7.0], [1.0, 7.0]]))
        >>> metrics.update(torch.tensor([0.3]), torch.tensor([[1.0, 8.0]]))
        >>> {name: value.item() for name, value in metrics.compute().items()}  # (1/2 + 1/1) / 2
        {'mrr': 0.75}
    """
    _check(names)
    return MetricCollection({name: _OfQueries(name) for name in names}, compute_groups=False)


def ranking_score_function(names: Sequence[str]) -> GroupMean:
    """The mean of metrics, by query and over all of them.

    Args:
        names: Names out of `METRICS`.

    Returns:
        Function of scores and labels, as `build_ranking_metrics` takes them.

    Raises:
        StarkError: For an unknown name.
    """
    _check(names)
    formulas = [_FORMULAS[name] for name in names]
    return GroupMean(lambda scores, labels: torch.stack([formula(scores, labels) for formula in formulas]).mean(0))


def _check(names: Sequence[str]) -> None:
    for name in names:
        if name not in METRICS:
            raise StarkError(f"unknown metric {name!r}: choose out of {', '.join(METRICS)}")


def _ndcg(scores: Tensor, labels: Tensor) -> Tensor:
    r"""nDCG@10 of each query that has a relevant row, $\mathrm{DCG} / \mathrm{DCG}_{\mathrm{ideal}}$, in [0, 1].

    $$\mathrm{DCG} = \sum_{i=1}^{10} \frac{y_i}{\log_2(i + 1)}$$

    for the relevance $y_i$ of the row in place i; in the ideal order the relevances decrease. Rows with equal scores
    share the mean of the discounts of their places, which is the expectation over their orders.

    Source: Järvelin and Kekäläinen, 2002, "Cumulated gain-based evaluation of IR techniques"; ties as McSherry and
    Najork, 2008, "Computing information retrieval performance measures efficiently in the presence of tied scores".
    scikit-learn's ``ndcg_score`` is the same.

    Args:
        scores: Shape ``(rows,)``.
        labels: Shape ``(rows, 2)``.

    Returns:
        Float64, ``(queries,)``, in the order of the queries' numbers.

    Examples:
        >>> _ndcg(torch.tensor([0.1, 0.2]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])).item()  # 1 / log2(3)
        0.6309297535714575
    """
    relevance, query = labels.detach().cpu().double().unbind(-1)
    scores = scores.detach().cpu().double()

    def gained(by: Tensor) -> Tensor:
        found = _order(by, query)
        discounts = torch.where(found.place < CUTOFF, 1 / torch.log2(found.place + 2), 0.0)
        mean = _sums(discounts, found.tie) / found.tie.bincount()
        return _sums(relevance[found.rows] * mean[found.tie], found.query)

    ideal = gained(relevance)
    return _of_finite(scores, gained(scores)[ideal > 0] / ideal[ideal > 0])


def _mrr(scores: Tensor, labels: Tensor) -> Tensor:
    r"""MRR@10 of each query that has a relevant row: 1 divided by the place of its first one, 0 behind place 10.

    Relevant is what has a relevance above 0. Where t rows have the score of the first relevant one, r of them are
    relevant, and a rows have a higher score, it is the expectation over the orders of the t rows,

    $$\sum_{j=1}^{t - r + 1} \frac{1}{a + j} \; \frac{r}{t - j + 1} \prod_{i=1}^{j-1} \frac{t - r - i + 1}{t - i + 1}.$$

    Source: Voorhees, 1999, "The TREC-8 Question Answering Track Report"; the cut-off as in MS MARCO.

    Args:
        scores: Shape ``(rows,)``.
        labels: Shape ``(rows, 2)``.

    Returns:
        Float64, ``(queries,)``, in the order of the queries' numbers.

    Examples:
        >>> _mrr(torch.tensor([0.1, 0.2]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])).item()
        0.5
    """
    relevance, query = labels.detach().cpu().double().unbind(-1)
    scores = scores.detach().cpu().double()
    found = _order(scores, query)
    relevant = relevance[found.rows] > 0
    first = torch.cat([relevant.new_ones(1), found.query[relevant].diff() != 0])[: int(relevant.sum())]
    tie = found.tie[relevant][first]  # that of the first relevant row of each query
    sizes = found.tie.bincount()
    above, rows, having = (
        found.place[(sizes.cumsum(0) - sizes)[tie]],
        sizes[tie],
        _sums(relevant.double(), found.tie)[tie],
    )
    total, none_yet = torch.zeros(len(tie), dtype=torch.float64), torch.ones(len(tie), dtype=torch.float64)
    for taken in range(CUTOFF):  # rows of the tie that come before
        left = (rows - taken).clamp(min=1)
        total += torch.where(above + taken < CUTOFF, none_yet * having / left / (above + taken + 1), 0.0)
        none_yet *= (1 - having / left).clamp(min=0)
    return _of_finite(scores, total)


_FORMULAS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ndcg": _ndcg, "mrr": _mrr}


class _Order(NamedTuple):
    """Rows sorted by query, and by falling score.

    Args:
        rows: The rows in this order.
        query: Number of the query of each, from 0.
        place: Place of each in its query, from 0.
        tie: Number of the rows of its query that have the same score, from 0.
    """

    rows: Tensor
    query: Tensor
    place: Tensor
    tie: Tensor


def _order(scores: Tensor, query: Tensor) -> _Order:
    by_score = scores.argsort(descending=True, stable=True)
    rows = by_score[query[by_score].argsort(stable=True)]
    _, number, sizes = query[rows].unique_consecutive(return_inverse=True, return_counts=True)
    place = (torch.arange(len(rows)) - (sizes.cumsum(0) - sizes)[number]).double()
    differs = (number.diff() != 0) | (scores[rows].diff() != 0)
    return _Order(rows, number, place, torch.cat([torch.zeros(len(rows[:1])), differs]).long().cumsum(0))


def _sums(values: Tensor, numbers: Tensor) -> Tensor:
    """The sum of the values of each number, of which there are all from 0 to the last."""
    count = int(numbers[-1]) + 1 if len(numbers) else 0
    return torch.zeros(count, dtype=torch.float64).index_add_(0, numbers, values)


def _of_finite(scores: Tensor, values: Tensor) -> Tensor:
    """The values; 0 if a score is NaN or infinite, as no later value would count as better than a NaN."""
    return values if scores.isfinite().all() else torch.zeros_like(values)
