"""The interface of a kind of label: loss, predictions, metrics, and the mark of rows without a label."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection
from transformers import PreTrainedConfig

from stark.choices import ClassWeights
from stark.errors import StarkError
from stark.problems.metrics import build_metrics, score_function

__all__ = ["HasTrainLabels", "Problem", "Reduction", "over_outcomes", "reduce_loss"]

Reduction = Literal["mean", "none"]
"""Whether a loss is the mean over the batch, or one value per example."""


def reduce_loss(loss: Tensor, reduction: Reduction) -> Tensor:
    """Reduce the losses of examples.

    Args:
        loss: Shape ``(batch,)``.
        reduction: ``mean`` for their mean, ``none`` for the losses themselves.

    Returns:
        A scalar, or shape ``(batch,)``.
    """
    return loss.mean() if reduction == "mean" else loss


def over_outcomes(terms: Tensor) -> Tensor:
    """Add up what the outcomes of distributions give to a loss, and take the mean over a row's distributions.

    The mean, because the task loss of labels with a distribution each is a mean over the labels, too.

    Args:
        terms: Shape ``(batch, ..., outcomes)``, as `Problem.log_probabilities` has it.

    Returns:
        Shape ``(batch,)``.

    Examples:
        >>> over_outcomes(torch.tensor([[1.0, 2.0]])), over_outcomes(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
        (tensor([3.]), tensor([5.]))
    """
    terms = terms.sum(-1)
    return terms if terms.dim() == 1 else terms.flatten(1).mean(-1)


@runtime_checkable
class HasTrainLabels(Protocol):
    """A data module that knows the labels of train."""

    def train_labels(self) -> Tensor:
        """Labels of the rows that are trained on, ``(rows, ...)``, with marks where a row has none."""


class Problem(ABC):
    """A kind of label, such as one class out of several, or a score.

    A new kind is a subclass in a separate file, and a name in `PROBLEMS` or a call of `register_problem`. Everything
    that depends on the kind of label is defined here: no other code depends on the number of labels or on the type of
    a tensor of labels.

    Args:
        label_names: Names of the classes in the order of their ids, or the one name of a score.
    """

    #: Name of the kind of label in files and messages.
    kind: ClassVar[str]
    #: Name in transformers' ``config.problem_type``: one of the three that it knows.
    problem_type: ClassVar[str]
    #: Type of a tensor of labels.
    label_dtype: ClassVar[torch.dtype]
    #: Value that marks a row without a label.
    unlabelled: ClassVar[float]
    #: Whether the labels are classes with names, so that a prediction is one of these names.
    has_classes: ClassVar[bool]
    #: Whether a row may have several of the names, or none, so that labels and predictions have a value for each name.
    several: ClassVar[bool] = False
    #: Whether logits represent distributions; if not, distillation losses compare them by their squared error.
    has_distributions: ClassVar[bool]
    #: Whether metrics compare the rows of a group, such as the documents of a query. A label then is two numbers, the
    #: second of which is that of the row's group.
    by_group: ClassVar[bool] = False
    #: The smallest label of a row, where labels are numbers.
    least_label: ClassVar[float] = -math.inf
    #: Whether `tuned` finds something that a model's predictions need.
    is_tuned: ClassVar[bool] = False
    #: Unit in which the losses measure logits that are scores; see `for_train`.
    unit: float = 1.0
    #: The outputs of a new classifier before training: one for all logits, or one for each; see `for_train`.
    start: float | tuple[float, ...] = 0.0
    #: How `for_train` changed the losses, for the user; empty if it did not.
    note: str = ""

    def __init__(self, label_names: Sequence[str]) -> None:
        """Keep the names."""
        self.label_names = tuple(label_names)

    @property
    def num_labels(self) -> int:
        """Number of logits."""
        return len(self.label_names)

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of the label of a row: ``()``, ``(num_labels,)`` where a row may have several, ``(2,)`` with groups."""
        return (2,) if self.by_group else (self.num_labels,) if self.several else ()

    def unlabelled_rows(self, rows: int) -> Tensor:
        """Labels of rows that have none.

        Args:
            rows: Number of rows.

        Returns:
            Shape ``(rows, *label_shape)``, with `unlabelled` everywhere.
        """
        return torch.full((rows, *self.label_shape), self.unlabelled, dtype=self.label_dtype)

    @property
    def rule(self) -> str:
        """How predictions come about, in words; empty if the kind of label says it."""
        return ""

    @property
    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that are defined for these labels; the first is the usual one."""

    @property
    def default_metrics(self) -> tuple[str, ...]:
        """Metrics of a task that names none."""
        return self.metrics[:1]

    @abstractmethod
    def task_loss(self, logits: Tensor, labels: Tensor, reduction: Reduction = "mean") -> Tensor:
        """Loss against the labels.

        Args:
            logits: Shape ``(batch, num_labels)``.
            labels: Shape ``(batch, *label_shape)``. The loss of a row without a label is 0.
            reduction: ``mean`` over the batch, rows without a label included, or ``none`` for shape ``(batch,)``.

        Returns:
            The loss.
        """

    def for_train(self, labels: Tensor, class_weights: ClassWeights = "none") -> Problem:
        """The same kind of label with losses that are adapted to the labels of train.

        Args:
            labels: Labels of the rows of train, ``(rows, *label_shape)``; may be empty.
            class_weights: Weights of the classes in the task loss, for kinds of label that have classes.

        Returns:
            A problem; the same one by default.

        Raises:
            StarkError: If there are weights, and the kind of label has none.
        """
        if class_weights != "none":
            raise StarkError(f"class_weights are {class_weights}, but {self.kind} has none: leave them out")
        return self

    def weights(self, labels: Tensor, class_weights: ClassWeights) -> Tensor | None:
        """The weights of the classes in the task loss, for models that are trained without it.

        Args:
            labels: Labels of rows, ``(rows, *label_shape)``.
            class_weights: As in `for_train`.

        Returns:
            Shape ``(num_labels,)``, float32; None without weights.

        Raises:
            StarkError: If the weights do not fit the classes.
        """
        return None

    def squared_error(self, first: Tensor, second: Tensor, reduction: Reduction = "mean") -> Tensor:
        """Squared difference of two models' logits, in `unit`; compares models whose logits have no distributions.

        Args:
            first: Shape ``(batch, num_labels)``.
            second: Of the same shape.
            reduction: ``mean`` over the batch, or ``none`` for shape ``(batch,)``.

        Returns:
            The mean over the labels.
        """
        if self.unit != 1:
            first, second = first / self.unit, second / self.unit
        return reduce_loss(F.mse_loss(first, second, reduction="none").mean(-1), reduction)

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Logarithms of the distributions that logits represent.

        Args:
            logits: Shape ``(batch, num_labels)``, divided by a temperature or not.

        Returns:
            Shape ``(batch, ..., outcomes)``, with distributions along the last dimension.

        Raises:
            ValueError: If logits of this kind of label have no distributions.
        """
        raise ValueError(f"{self.kind} has no distributions that could be compared")

    def distributions(self, logits: Tensor) -> Tensor:
        """The distributions that logits represent; see `log_probabilities`.

        Args:
            logits: Shape ``(batch, num_labels)``.

        Returns:
            Shape ``(batch, ..., outcomes)``.

        Raises:
            ValueError: If there are no distributions.
        """
        return self.log_probabilities(logits).exp()

    @abstractmethod
    def predictions(self, logits: Tensor) -> Tensor:
        """The model's predictions.

        Args:
            logits: Shape ``(batch, num_labels)``.

        Returns:
            Shape ``(batch, *label_shape)``, to be compared with labels.
        """

    def for_metrics(self, logits: Tensor) -> Tensor:
        """What metrics compare with labels: the predictions, unless a metric needs more than these.

        Args:
            logits: Shape ``(batch, num_labels)``.

        Returns:
            Shape ``(batch, *label_shape)``.
        """
        return self.predictions(logits)

    def right_answers(self, labels: Tensor) -> Tensor:
        """What `for_metrics` returns for a model that is always right, or another answer that metrics take as right.

        Args:
            labels: Shape ``(rows, *label_shape)``; all rows have a label.

        Returns:
            Shape ``(rows, ...)``.
        """
        return labels

    def doubt(self, labels: Tensor) -> str:
        """What rows have that makes their metrics doubtful.

        Args:
            labels: Shape ``(rows, *label_shape)``; all rows have a label.

        Returns:
            What they have, for the user; empty by default.
        """
        return ""

    def memberships(self, values: Tensor) -> Tensor:
        """Which rows have which of the classes; only where labels are classes.

        Args:
            values: Labels, predictions, or what `for_metrics` returns, ``(rows, *label_shape)``.

        Returns:
            Boolean, ``(rows, num_labels)``.
        """
        return values[:, None] == torch.arange(self.num_labels, device=values.device)

    def same_predictions(self, first: Tensor, second: Tensor) -> Tensor:
        """Which rows two models predict the same for.

        Args:
            first: Logits ``(rows, num_labels)``.
            second: Logits of the same rows.

        Returns:
            Boolean, ``(rows,)``.
        """
        return (self.predictions(first) == self.predictions(second)).reshape(len(first), -1).all(-1)

    def tuned(self, logits: Tensor, labels: Tensor, names: Sequence[str]) -> Problem:
        """The same kind of label with what a model's predictions need besides its logits, such as a threshold.

        Args:
            logits: A model's logits for rows that it is not trained on, ``(rows, num_labels)``.
            labels: Labels of the rows, ``(rows, *label_shape)``.
            names: Names of the metrics that make the score.

        Returns:
            A problem; the same one by default. `write_` keeps what it found in a model's configuration.
        """
        return self

    def of_model(self, config: PreTrainedConfig) -> Problem:
        """The same kind of label with what `write_` kept in a model's configuration.

        Args:
            config: The configuration.

        Returns:
            A problem; the same one by default.

        Raises:
            StarkError: If the configuration has something else there.
        """
        return self

    def write_(self, config: PreTrainedConfig) -> None:
        """Keep what `tuned` found; nothing by default.

        Args:
            config: A model's configuration; it is changed.
        """
        return

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """The values that a user sees for each label.

        Args:
            logits: Shape ``(batch, num_labels)``.

        Returns:
            Probabilities, or the scores themselves, of the same shape.
        """

    def logits_of(self, probabilities: Tensor) -> Tensor:
        """Logits that represent values as users see them; the reverse of `probabilities`, for teachers without logits.

        Args:
            probabilities: Shape ``(batch, num_labels)``.

        Returns:
            Logits of the same shape.

        Raises:
            StarkError: If this kind of label does not define it.
        """
        raise StarkError(f"labels of kind {self.kind} have no logits that a file of probabilities could give")

    @abstractmethod
    def agreement(self, first: Tensor, second: Tensor) -> float:
        """Agreement between two models' predictions.

        Args:
            first: Logits ``(rows, num_labels)``.
            second: Logits of the same rows.

        Returns:
            At most 1, for equal predictions.
        """

    @abstractmethod
    def is_labelled(self, labels: Tensor) -> Tensor:
        """Which rows have a label.

        Args:
            labels: Shape ``(rows, *label_shape)``.

        Returns:
            Boolean, ``(rows,)``.
        """

    @abstractmethod
    def strata(self, labels: Tensor) -> Tensor:
        """Groups of rows whose proportions a stratified split keeps.

        Args:
            labels: Shape ``(rows, *label_shape)``.

        Returns:
            The number of each row's group, int64, ``(rows,)``.
        """

    @abstractmethod
    def calibration_error(self, logits: Tensor, labels: Tensor, bins: int) -> float | None:
        """Expected calibration error of the probabilities.

        Args:
            logits: Shape ``(rows, num_labels)``.
            labels: Shape ``(rows, *label_shape)``.
            bins: Number of bins of equal width.

        Returns:
            The error in [0, 1]; None if there are no probabilities.
        """

    def build_metrics(self, names: Sequence[str]) -> MetricCollection:
        """Build torchmetrics.

        Args:
            names: Names of metrics.

        Returns:
            The collection; it is updated with what `for_metrics` returns, and with labels.

        Raises:
            StarkError: For an unknown name.
        """
        return build_metrics(list(names), self.num_labels)

    def score_function(self, names: Sequence[str]) -> Callable[[Tensor, Tensor], float]:
        """The mean of metrics as a function that is fast enough for a bootstrap.

        Args:
            names: Names of metrics.

        Returns:
            The function of what `for_metrics` returns, and of labels.
        """
        return score_function(names, self.num_labels)
