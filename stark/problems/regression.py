"""Regression: each row has a score."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from stark.problems.metrics import correlation
from stark.problems.problem import Problem, Reduction

__all__ = ["Regression", "score_bins"]


class Regression(Problem):
    """A score; labels are floats, and a model has one logit, which is the predicted score.

    Args:
        label_names: The name of the score.

    Examples:
        >>> problem = Regression(["similarity"])
        >>> problem.task_loss(torch.tensor([[2.0], [1.0]]), torch.tensor([0.0, 1.0]))
        tensor(2.)
        >>> problem.predictions(torch.tensor([[2.5]])).tolist()
        [2.5]
    """

    kind = "regression"
    problem_type = "regression"
    label_dtype = torch.float32
    unlabelled = math.nan
    has_classes = False
    has_distributions = False

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics."""
        return ("pearson", "spearmanr", "mae", "rmse")

    @property
    def default_metrics(self) -> tuple[str, ...]:
        """Both correlations."""
        return self.metrics[:2]

    def task_loss(self, logits: Tensor, labels: Tensor, reduction: Reduction = "mean") -> Tensor:
        """Squared error; see `Problem.task_loss`.

        Source: GeneZC/StarK `models/ft.py`: MSE of ``logit.squeeze(-1)``.

        Args:
            logits: Shape ``(batch, 1)``.
            labels: Scores, ``(batch,)``.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss.
        """
        predicted, labels = logits.squeeze(-1), labels.to(logits.dtype)
        # NaN is replaced before the difference, because the gradient of a NaN is NaN, even if multiplied by 0.
        known = torch.where(labels.isnan(), predicted.detach(), labels)
        return F.mse_loss(predicted, known, reduction=reduction)

    def predictions(self, logits: Tensor) -> Tensor:
        """The scores, ``(batch,)``."""
        return logits.squeeze(-1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """The scores as they are, ``(batch, 1)``."""
        return logits

    def agreement(self, first: Tensor, second: Tensor) -> float:
        """Pearson's correlation; see `correlation`."""
        return float(correlation(first.flatten(), second.flatten()))

    def is_labelled(self, labels: Tensor) -> Tensor:
        """Rows whose score is a number."""
        return ~labels.isnan()

    def strata(self, labels: Tensor) -> Tensor:
        """Ten bins of the score's rank."""
        return score_bins(labels)

    def calibration_error(self, logits: Tensor, labels: Tensor, bins: int) -> None:
        """None, because scores are not probabilities."""
        return


def score_bins(scores: Sequence[float] | Tensor, num_bins: int = 10) -> Tensor:
    """Divide scores by their rank into bins of equal size.

    Args:
        scores: The scores.
        num_bins: Number of bins.

    Returns:
        The bin of each row.

    Examples:
        >>> score_bins([0.5, 5.0, 2.0, 4.0], num_bins=2).tolist()
        [0, 1, 0, 1]
    """
    order = torch.as_tensor(scores, dtype=torch.float64).argsort(stable=True)
    bins = torch.empty_like(order)
    bins[order] = torch.arange(len(order)) * num_bins // len(order)
    return bins
