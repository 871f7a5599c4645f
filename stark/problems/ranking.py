"""Ranking: each row is a document, or a pair of query and document, with a relevance for its query."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.functional.classification import binary_calibration_error

from stark.choices import ClassWeights
from stark.errors import StarkError
from stark.problems.metrics import correlation
from stark.problems.problem import Problem, Reduction, reduce_loss
from stark.problems.ranking_metrics import METRICS, GroupMean, build_ranking_metrics, ranking_score_function

__all__ = ["Ranking"]

# The smallest probability that a teacher's file may have an effect with; its logit is -13.8.
_LEAST = 1e-6


class Ranking(Problem):
    """The relevance of a row for its query; a model has one logit, by which the rows of a query are ranked.

    A label is two numbers: the relevance, which is 0 or more, and the number of the query. Losses see each row alone
    (pointwise); metrics compare the rows of a query.

    Source: Nogueira and Cho, 2019, "Passage Re-ranking with BERT", with one logit and a sigmoid in place of two logits
    and a softmax, which is the same distribution.

    Args:
        label_names: The name of the relevance.

    Examples:
        >>> problem = Ranking(["relevance"])
        >>> problem.task_loss(torch.zeros(2, 1), torch.tensor([[1.0, 7.0], [0.0, 7.0]]))  # ln 2
        tensor(0.6931)
        >>> score = problem.score_function(["mrr"])
        >>> score(problem.for_metrics(torch.tensor([[0.3], [2.0]])), torch.tensor([[1.0, 7.0], [0.0, 7.0]]))
        0.5
    """

    kind = "ranking"
    # transformers' loss and pipeline for this word use a sigmoid, those for regression do not.
    problem_type = "multi_label_classification"
    label_dtype = torch.float32
    unlabelled = math.nan
    has_classes = False
    has_distributions = True
    by_group = True
    least_label = 0.0
    #: The relevance that counts as certain, by which the task loss divides; see `for_train`.
    largest: float = 1.0

    def __init__(self, label_names: Sequence[str]) -> None:
        """Check that there is one name.

        Raises:
            StarkError: If there are several.
        """
        super().__init__(label_names)
        if len(self.label_names) != 1:
            raise StarkError(
                f"kind {self.kind} has one relevance per row, not {len(self.label_names)} labels: write its name alone "
                "under labels, or leave labels out"
            )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, see `stark.problems.ranking_metrics`."""
        return METRICS

    @property
    def default_metrics(self) -> tuple[str, ...]:
        """Both."""
        return METRICS

    def for_train(self, labels: Tensor, class_weights: ClassWeights = "none") -> Ranking:
        """The same relevance with the largest one of train; a new classifier starts at the mean of the probabilities.

        Args:
            labels: Labels of the rows of train, ``(rows, 2)``, NaN where a row has none; may be empty.
            class_weights: Only ``none``.

        Returns:
            The problem; the same one if no row has a label.

        Raises:
            StarkError: If there are class weights.

        Examples:
            >>> found = Ranking(["relevance"]).for_train(torch.tensor([[4.0, 0.0], [0.0, 0.0], [2.0, 0.0]]))
            >>> found.largest, round(torch.tensor(found.start).sigmoid().item(), 3)  # (1 + 0 + 1/2 + 1/2) / 4
            (4.0, 0.5)
        """
        super().for_train(labels, class_weights)
        known = labels[self.is_labelled(labels)][:, 0].double()
        if not len(known):
            return self
        scaled = copy.copy(self)
        scaled.largest = float(known.max()) or 1.0
        # Half a row more of each outcome, so that the mean is neither 0 nor 1.
        mean = (known.sum() / scaled.largest + 0.5) / (len(known) + 1)
        scaled.start = float(mean.logit())
        if scaled.largest != 1:
            scaled.note = f"relevances are divided by {scaled.largest:g}, the largest of train, in the task loss"
        return scaled

    def task_loss(self, logits: Tensor, labels: Tensor, reduction: Reduction = "mean") -> Tensor:
        r"""Binary cross-entropy of the logit with the relevance; see `Problem.task_loss`.

        $$-y \log \sigma(s) - (1 - y) \log (1 - \sigma(s))$$

        for the relevance divided by the largest one, $y$.

        Source: the loss of Sentence Transformers' ``CrossEncoder`` with one label.

        Args:
            logits: Shape ``(batch, 1)``.
            labels: Shape ``(batch, 2)``. A relevance above the largest one of train counts as that one.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss.
        """
        relevance, is_labelled = labels[:, 0].to(logits.dtype), self.is_labelled(labels)
        wanted = (relevance / self.largest).clamp(max=1).where(is_labelled, 0.0)
        losses = F.binary_cross_entropy_with_logits(logits.squeeze(-1), wanted, reduction="none")
        return reduce_loss(losses.where(is_labelled, 0.0), reduction)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Log-probabilities that a row is not relevant, and that it is, ``(batch, 1, 2)``."""
        return torch.stack([F.logsigmoid(-logits), F.logsigmoid(logits)], dim=-1)

    def predictions(self, logits: Tensor) -> Tensor:
        """The probabilities that rows are relevant, ``(batch,)``."""
        return logits.sigmoid().squeeze(-1)

    def for_metrics(self, logits: Tensor) -> Tensor:
        """The logits, ``(batch,)``; a sigmoid would make far ones equal."""
        return logits.squeeze(-1)

    def right_answers(self, labels: Tensor) -> Tensor:
        """The relevances, ``(rows,)``."""
        return labels[:, 0]

    def doubt(self, labels: Tensor) -> str:
        """That queries have no relevant row."""
        relevance, query = labels.unbind(-1)
        queries, having = len(query.unique()), len(query[relevance > 0].unique())
        if having == queries:
            return ""
        return f"{queries - having:,} of {queries:,} queries without a relevant row, which its metrics leave out"

    def probabilities(self, logits: Tensor) -> Tensor:
        """Sigmoid, ``(batch, 1)``."""
        return logits.sigmoid()

    def logits_of(self, probabilities: Tensor) -> Tensor:
        """The inverse of the sigmoid, of probabilities that are 1e-6 or more away from 0 and from 1.

        Args:
            probabilities: Shape ``(batch, 1)``.

        Returns:
            Logits of the same shape.

        Raises:
            StarkError: If a number is no probability.
        """
        if not ((probabilities >= 0) & (probabilities <= 1)).all():
            raise StarkError(
                f"the answers of the teacher are from {float(probabilities.min()):g} to {float(probabilities.max()):g}:"
                " give probabilities from 0 to 1, which are the sigmoid of its logits"
            )
        return probabilities.clamp(_LEAST, 1 - _LEAST).logit()

    def agreement(self, first: Tensor, second: Tensor) -> float:
        """Pearson's correlation of the logits; see `correlation`."""
        return float(correlation(first.flatten(), second.flatten()))

    def is_labelled(self, labels: Tensor) -> Tensor:
        """Rows whose relevance is a number."""
        return ~labels[:, 0].isnan()

    def strata(self, labels: Tensor) -> Tensor:
        """1 for relevant rows, 0 for the others."""
        return (labels[:, 0] > 0).long()

    def calibration_error(self, logits: Tensor, labels: Tensor, bins: int) -> float | None:
        """Expected calibration error of the probabilities where all relevances are 0 or 1, else None."""
        relevance = labels[:, 0]
        if not ((relevance == 0) | (relevance == 1)).all():
            return None
        return float(binary_calibration_error(self.predictions(logits), relevance.long(), n_bins=bins))

    def build_metrics(self, names: Sequence[str]) -> MetricCollection:
        """Build torchmetrics; see `build_ranking_metrics`."""
        return build_ranking_metrics(names)

    def score_function(self, names: Sequence[str]) -> GroupMean:
        """The mean of metrics over queries; see `ranking_score_function`."""
        return ranking_score_function(names)
