"""Classification: each row has one class."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

from stark.choices import ClassWeights
from stark.problems.class_weights import class_weights as weights_of
from stark.problems.problem import Problem, Reduction

__all__ = ["Classification"]

# The smallest probability that a teacher's file may have an effect with; its logarithm is -13.8.
_LEAST = 1e-6


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
    _weights: Tensor | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics; F1 is that of the second of two classes."""
        common = ("matthews_corrcoef", "macro_f1", "weighted_f1", "balanced_accuracy")
        return ("accuracy", "f1", *common) if self.num_labels == 2 else ("accuracy", *common)

    def for_train(self, labels: Tensor, class_weights: ClassWeights = "none") -> Classification:
        """The same classes with weights; see `class_weights`.

        Args:
            labels: Labels of the rows of train, ``(rows,)``.
            class_weights: ``none``, ``balanced``, or one number per class.

        Returns:
            The problem; the same one for ``none``.

        Raises:
            StarkError: If the weights do not fit the classes.
        """
        weights = self.weights(labels, class_weights)
        if weights is None:
            return self
        weighted = copy.copy(self)
        weighted._weights = weights
        told = ", ".join(
            f"{name} {weight:.3g}" for name, weight in zip(self.label_names, weights.tolist(), strict=True)
        )
        weighted.note = f"weights of the classes in the task loss: {told}"
        return weighted

    def weights(self, labels: Tensor, class_weights: ClassWeights) -> Tensor | None:
        """The weight of each class; see `class_weights`."""
        return weights_of(class_weights, labels[self.is_labelled(labels)], self.num_labels)

    def task_loss(self, logits: Tensor, labels: Tensor, reduction: Reduction = "mean") -> Tensor:
        """Cross-entropy, times the weight of the class if there are weights; see `Problem.task_loss`.

        Source: GeneZC/StarK `models/ft.py`, without weights.

        Args:
            logits: Shape ``(batch, num_labels)``.
            labels: Class ids, ``(batch,)``.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss.
        """
        if self._weights is not None:
            self._weights = self._weights.to(logits)  # moved once, at the first batch
        if reduction == "none":
            return F.cross_entropy(logits, labels, self._weights, reduction="none")
        return F.cross_entropy(logits, labels, self._weights, reduction="sum") / len(labels)

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

    def logits_of(self, probabilities: Tensor) -> Tensor:
        """Logarithms of the probabilities, which are divided by their sum and are at least 1e-6.

        Args:
            probabilities: Shape ``(batch, num_labels)``; a teacher such as a language model may say 0.

        Returns:
            Logits of the same shape.
        """
        return (probabilities / probabilities.sum(-1, keepdim=True)).clamp(min=_LEAST).log()

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
