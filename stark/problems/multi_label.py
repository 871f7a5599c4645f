"""Several labels a row: each label applies or does not."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection
from torchmetrics.functional.classification import binary_calibration_error
from transformers import PreTrainedConfig

from stark.choices import ClassWeights
from stark.errors import StarkError
from stark.problems.label_metrics import METRICS, best_threshold, build_label_metrics, label_score_function
from stark.problems.problem import Problem, Reduction

__all__ = ["MultiLabel"]

_KEY = "stark_threshold"
_USUAL = 0.5
# The largest weight that "balanced" gives to the rows that have a label.
_MOST_WEIGHT = 10.0
# The smallest probability that a teacher's file may have an effect with; its logit is -13.8.
_LEAST = 1e-6


class MultiLabel(Problem):
    """Any number of labels a row, or none; labels are 1 or 0 for each name.

    Args:
        label_names: Names of the labels in the order of the logits.

    Examples:
        >>> problem = MultiLabel(["toxic", "insult"])
        >>> problem.task_loss(torch.zeros(2, 2), torch.tensor([[1, 0], [-100, -100]]))  # ln 2 / 2
        tensor(0.3466)
        >>> problem.predictions(torch.tensor([[0.1, -0.1], [2.0, 3.0]])).tolist()
        [[1, 0], [1, 1]]
    """

    kind = "multi_label"
    problem_type = "multi_label_classification"
    label_dtype = torch.int8
    unlabelled = -100
    has_classes = True
    several = True
    has_distributions = True
    is_tuned = True
    #: The probability above which a label is predicted.
    threshold: float = _USUAL
    _weights: Tensor | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics; ``accuracy`` is the share of rows all of whose labels are right."""
        return METRICS

    @property
    def rule(self) -> str:
        """When a label is predicted."""
        return f"a label is predicted where its probability is above {self.threshold:g}"

    def for_train(self, labels: Tensor, class_weights: ClassWeights = "none") -> MultiLabel:
        """The same labels with weights, see `weights`; a new classifier starts at the share of rows of each label.

        A new classifier that starts at a half for each of many rare labels first learns to say no. Its bias is slow (a
        step is as large as the learning rate), so that the encoder does it, with outputs that are the same for all
        rows, and stays so: MiniLM then learned nothing on GoEmotions in hundreds of steps, and with this start it did.

        Source: Lin et al., 2017, "Focal Loss for Dense Object Detection", section 3.3.

        Args:
            labels: Labels of the rows of train, ``(rows, num_labels)``; may be empty.
            class_weights: ``none``, ``balanced``, or one number per label.

        Returns:
            The problem; the same one for ``none`` if no row has a label.

        Raises:
            StarkError: If the weights do not fit the labels.

        Examples:
            >>> found = MultiLabel(["a"]).for_train(torch.tensor([[1], [0], [0]]))
            >>> round(torch.tensor(found.start).sigmoid().item(), 3)  # 1.5 of 4, so that a share is never 0
            0.375
        """
        weights = self.weights(labels, class_weights)
        known = labels[self.is_labelled(labels)].double()
        weighted = copy.copy(self)
        if len(known):
            weighted.start = tuple(((known.sum(0) + 0.5) / (len(known) + 1)).logit().tolist())
        if weights is None:
            return weighted if len(known) else self
        weighted._weights = weights
        told = ", ".join(
            f"{name} {weight:.3g}" for name, weight in zip(self.label_names, weights.tolist(), strict=True)
        )
        weighted.note = f"weights of the rows that have a label, in its task loss: {told}"
        return weighted

    def weights(self, labels: Tensor, class_weights: ClassWeights) -> Tensor | None:
        """The weight, for each label, of the rows that have it; the other rows have the weight 1.

        ``balanced`` is the number of rows without the label divided by that of the rows with it, from 1 to 10: a larger
        weight makes the few rows of a rare label decide alone. A label without rows has the weight 1.

        Args:
            labels: Labels of rows, ``(rows, num_labels)``; used by ``balanced`` alone.
            class_weights: ``none``, ``balanced``, or one number above 0 per label.

        Returns:
            Shape ``(num_labels,)``, float32; None for ``none``.

        Raises:
            StarkError: If the weights do not fit the labels.

        Examples:
            >>> MultiLabel(["a", "b"]).weights(torch.tensor([[1, 0], [0, 0], [0, 0]]), "balanced").tolist()
            [2.0, 1.0]
        """
        if class_weights == "none":
            return None
        if class_weights == "balanced":
            known = labels[self.is_labelled(labels)].double()
            having = known.sum(0)
            ratio = (len(known) - having) / having.clamp(min=1)
            return ratio.clamp(1, _MOST_WEIGHT).where(having > 0, 1.0).float()
        if isinstance(class_weights, str):
            raise StarkError(
                f"class_weights is {class_weights!r}: choose none, balanced, or a list with one number per label"
            )
        if len(class_weights) != self.num_labels or not all(0 < weight < math.inf for weight in class_weights):
            raise StarkError(
                f"class_weights are {list(class_weights)}: give one number above 0 for each of the {self.num_labels} "
                "labels, in their order"
            )
        return torch.tensor(class_weights, dtype=torch.float32)

    def task_loss(self, logits: Tensor, labels: Tensor, reduction: Reduction = "mean") -> Tensor:
        """Binary cross-entropy, the mean over the labels; see `Problem.task_loss`.

        Source: transformers' loss for ``multi_label_classification``, without weights.

        Args:
            logits: Shape ``(batch, num_labels)``.
            labels: 1 or 0, ``(batch, num_labels)``.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss.
        """
        if self._weights is not None:
            self._weights = self._weights.to(logits)  # moved once, at the first batch
        wanted = labels.clamp(min=0).to(logits.dtype)
        losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none", pos_weight=self._weights)
        losses = losses.mean(-1).where(self.is_labelled(labels), 0.0)
        return losses.mean() if reduction == "mean" else losses

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Log-probabilities that a label does not apply, and that it does, ``(batch, num_labels, 2)``."""
        return torch.stack([F.logsigmoid(-logits), F.logsigmoid(logits)], dim=-1)

    def predictions(self, logits: Tensor) -> Tensor:
        """1 where the probability of a label is above the threshold, else 0; ``(batch, num_labels)``."""
        return (self.for_metrics(logits) > 0).to(self.label_dtype)

    def for_metrics(self, logits: Tensor) -> Tensor:
        """How far the logits lie above that of the threshold, ``(batch, num_labels)``; some metrics rank the rows."""
        return logits - math.log(self.threshold / (1 - self.threshold))

    def memberships(self, values: Tensor) -> Tensor:
        """Where values are above 0."""
        return values > 0

    def probabilities(self, logits: Tensor) -> Tensor:
        """Sigmoid; they do not add up to 1."""
        return logits.sigmoid()

    def logits_of(self, probabilities: Tensor) -> Tensor:
        """The inverse of the sigmoid, of probabilities that are 1e-6 or more away from 0 and from 1.

        Args:
            probabilities: Shape ``(batch, num_labels)``.

        Returns:
            Logits of the same shape.
        """
        return probabilities.clamp(_LEAST, 1 - _LEAST).logit()

    def agreement(self, first: Tensor, second: Tensor) -> float:
        """Fraction of rows with the same predicted labels, in [0, 1]."""
        return float(self.same_predictions(first, second).double().mean())

    def is_labelled(self, labels: Tensor) -> Tensor:
        """Rows without the mark; a row to which no label applies is labelled."""
        return labels[:, 0] >= 0

    def strata(self, labels: Tensor) -> Tensor:
        """The rarest label of a row, so that rare labels keep their share; one more group for rows without any."""
        having = labels > 0
        # Of equally rare labels the first one.
        order = having.sum(0).argsort(stable=True)
        places = torch.where(having[:, order].any(1), having[:, order].int().argmax(1), 0)
        return torch.where(having.any(1), order[places], self.num_labels)

    def calibration_error(self, logits: Tensor, labels: Tensor, bins: int) -> float:
        """Expected calibration error of the probabilities of all labels together."""
        return float(binary_calibration_error(logits.sigmoid().flatten(), labels.int().flatten(), n_bins=bins))

    def build_metrics(self, names: Sequence[str]) -> MetricCollection:
        """Build torchmetrics; see `build_label_metrics`."""
        return build_label_metrics(names, self.num_labels)

    def score_function(self, names: Sequence[str]) -> Callable[[Tensor, Tensor], float]:
        """The mean of metrics; see `label_score_function`."""
        return label_score_function(names)

    def tuned(self, logits: Tensor, labels: Tensor, names: Sequence[str]) -> MultiLabel:
        """The same labels with the threshold that `best_threshold` finds.

        Args:
            logits: A model's logits for rows that it is not trained on, ``(rows, num_labels)``.
            labels: Labels of the rows.
            names: Names of the metrics that make the score.

        Returns:
            A problem.
        """
        return self._with(best_threshold(logits, labels, names))

    def of_model(self, config: PreTrainedConfig) -> MultiLabel:
        """The same labels with a model's threshold; 0.5 if its configuration has none.

        Args:
            config: The configuration.

        Returns:
            A problem.

        Raises:
            StarkError: If the threshold is no number between 0 and 1.
        """
        threshold = getattr(config, _KEY, _USUAL)
        if type(threshold) is not float or not 0 < threshold < 1:
            raise StarkError(
                f"{_KEY} in its configuration is {str(threshold)[:100]!r}, not a number between 0 and 1: restore it"
            )
        return self._with(threshold)

    def write_(self, config: PreTrainedConfig) -> None:
        """Keep the threshold in a model's configuration, unless it is what holds without one.

        Args:
            config: The configuration; it is changed.
        """
        if self.threshold != getattr(config, _KEY, _USUAL):
            setattr(config, _KEY, self.threshold)

    def _with(self, threshold: float) -> MultiLabel:
        found = copy.copy(self)
        found.threshold = threshold
        return found
