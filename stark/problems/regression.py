"""Regression: each row has a score."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from stark.choices import ClassWeights
from stark.problems.metrics import correlation
from stark.problems.problem import Problem, Reduction

__all__ = ["Regression", "score_bins"]

# Scores whose standard deviation or mean is beyond this factor are hard to learn: a new classifier starts at 0, its
# steps are about as large as the learning rate, and the gradient's norm is clipped.
_FAR = 8.0


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

    def for_train(self, labels: Tensor, class_weights: ClassWeights = "none") -> Regression:
        """The same score, standardised in the fit if its scale is far from 1.

        If the standard deviation is below 1/8 or above 8, or the mean is more than 8 standard deviations (and 8) from
        0, then the losses measure errors in `unit`, the power of two next to the standard deviation, and a new
        classifier starts at the mean. A power of two, because multiplying by it does not round. Predictions, and the
        weights in checkpoints and model folders, are always those of the unchanged score.

        Args:
            labels: Scores of the rows of train, ``(rows,)``, NaN where a row has none.
            class_weights: Only ``none``.

        Returns:
            The problem; the same one if the scale is near 1, which holds for STS-B.

        Raises:
            StarkError: If there are class weights.

        Examples:
            >>> far = Regression(["percent"]).for_train(torch.tensor([0.0, 20.0, 40.0, 100.0]))
            >>> far.unit, far.start
            (32.0, 40.0)
        """
        super().for_train(labels, class_weights)
        known = labels[self.is_labelled(labels)].double()
        mean, spread = (known.mean().item(), known.std().item()) if len(known) > 1 else (0.0, 1.0)
        if not spread > 0 or (1 / _FAR <= spread <= _FAR and abs(mean) <= _FAR * max(spread, 1.0)):
            return self
        scaled = copy.copy(self)
        scaled.unit, scaled.start = 2.0 ** round(math.log2(spread)), mean
        scaled.note = (
            f"the scores of train have mean {mean:.3g} and standard deviation {spread:.3g}: they are standardised in "
            "the fit, and the model predicts them unchanged"
        )
        return scaled

    def task_loss(self, logits: Tensor, labels: Tensor, reduction: Reduction = "mean") -> Tensor:
        """Squared error, in `unit`; see `Problem.task_loss`.

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
        if self.unit != 1:
            predicted, known = predicted / self.unit, known / self.unit
        return F.mse_loss(predicted, known, reduction=reduction)

    def predictions(self, logits: Tensor) -> Tensor:
        """The scores, ``(batch,)``."""
        return logits.squeeze(-1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """The scores as they are, ``(batch, 1)``."""
        return logits

    def logits_of(self, probabilities: Tensor) -> Tensor:
        """The scores as they are, ``(batch, 1)``."""
        return probabilities

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
