"""Classification: each row has one class."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

from stark.problems.problem import Problem, Reduction

__all__ = ["Classification"]


class Classification(Problem):
    """One class out of two or more; labels are class ids.

    Args:
        label_names: Names of the classes in the order of their ids.

    Examples:
        >>> problem = Classification(["negative", "positive"])
        >>> problem.task_loss(torch.zeros(2, 2), torch.tensor([1, -100]))  # ln 2 / 2
        tensor(0.3466)
        >>> problem.predictions(torch.tensor([[0.0, 1.0], [3.0, 2.0]])).tolist()
        [1, 0]
    """

    kind = "classification"
    problem_type = "single_label_classification"
    label_dtype = torch.int64
    unlabelled = -100  # torch's cross-entropy ignores it
    has_classes = True
    has_distributions = True

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics; F1 is that of the second of two classes."""
        common = ("matthews_corrcoef", "macro_f1", "weighted_f1", "balanced_accuracy")
        return ("accuracy", "f1", *common) if self.num_labels == 2 else ("accuracy", *common)

    def task_loss(self, logits: Tensor, labels: Tensor, reduction: Reduction = "mean") -> Tensor:
        """Cross-entropy; see `Problem.task_loss`.

        Source: GeneZC/StarK `models/ft.py`.

        Args:
            logits: Shape ``(batch, num_labels)``.
            labels: Class ids, ``(batch,)``.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss.
        """
        if reduction == "none":
            return F.cross_entropy(logits, labels, reduction="none")
        return F.cross_entropy(logits, labels, reduction="sum") / len(labels)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Log-softmax, ``(batch, num_labels)``."""
        return F.log_softmax(logits, dim=-1)

    def distributions(self, logits: Tensor) -> Tensor:
        """Softmax, ``(batch, num_labels)``."""
        return logits.softmax(-1)

    def predictions(self, logits: Tensor) -> Tensor:
        """Id of the class with the largest logit."""
        return logits.argmax(-1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax."""
        return logits.softmax(-1)

    def agreement(self, first: Tensor, second: Tensor) -> float:
        """Fraction of rows with the same prediction, in [0, 1]."""
        return float((self.predictions(first) == self.predictions(second)).double().mean())

    def is_labelled(self, labels: Tensor) -> Tensor:
        """Rows whose class id is not negative."""
        return labels >= 0

    def strata(self, labels: Tensor) -> Tensor:
        """The classes themselves."""
        return labels

    def calibration_error(self, logits: Tensor, labels: Tensor, bins: int) -> float:
        """Expected calibration error of the most probable class."""
        return float(multiclass_calibration_error(logits.softmax(-1), labels, num_classes=self.num_labels, n_bins=bins))
