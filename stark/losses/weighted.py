"""The sum of several distillation losses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn
from transformers import PreTrainedModel

from stark.errors import StarkError
from stark.forward.classifying import Outputs
from stark.losses.loss import PROGRESS, Loss
from stark.problems.problem import Problem, Reduction
from stark.schedules.changing import Schedule, changing_weight

__all__ = ["WeightedSum"]


class WeightedSum(Loss):
    """The weighted sum of distillation losses, with weights that may change over the fit.

    A changing weight depends on the optimizer's step alone, so that a resumed fit continues it exactly. Outside of a
    fit, as in scoring, it has its last value.

    Args:
        losses: The losses.
        weights: A weight of at least 0 for each loss; a pair is the weight in the first and in the last step of the
        fit. schedule: How pairs change: ``linear`` or ``cosine``, see `changing_weight`.

    Raises:
        StarkError: If there is no loss, or another number of weights, or a weight is out of range.

    Examples:
        ```yaml
        loss:
          class_path: stark.WeightedSum
          init_args:
            losses:
              - class_path: stark.SoftTargets
              - class_path: stark.HiddenStates
            weights: [1.0, [10.0, 0.0]]
            schedule: cosine
        ```
    """

    def __init__(
        self, losses: list[Loss], weights: list[float | tuple[float, float]], schedule: Schedule = "linear"
    ) -> None:
        """Keep the losses."""
        super().__init__()
        if not losses or len(losses) != len(weights):
            raise StarkError(f"{len(weights)} weights for {len(losses)} losses: give each loss one")
        if schedule not in ("linear", "cosine"):
            raise StarkError(f"schedule is '{schedule}': choose linear or cosine")
        self.losses = nn.ModuleList(losses)
        self.weights = [_checked(weight) for weight in weights]
        self.schedule: Schedule = schedule
        self.needs_progress = any(
            isinstance(weight, tuple) or loss.needs_progress for loss, weight in zip(losses, self.weights, strict=True)
        )
        self._ask()

    def _ask(self) -> None:
        """Ask for everything that one of the losses compares."""
        for name in ("student_layers", "teacher_layers", "student_projections", "teacher_projections"):
            setattr(self, name, _layers(getattr(loss, name) for loss in self.losses))

    def extra_repr(self) -> str:
        """The weights, by which a resumed fit recognises the loss."""
        changing = any(isinstance(weight, tuple) for weight in self.weights)
        return f"weights={self.weights}" + (f", schedule={self.schedule}" if changing else "")

    def prepare_(self, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
        """Prepare each loss.

        Args:
            student: The student, in its final shape.
            teacher: The teacher.
        """
        for loss in self.losses:
            assert isinstance(loss, Loss)
            loss.prepare_(student, teacher)
        self._ask()

    def forward(
        self,
        problem: Problem,
        student: Outputs,
        teacher: Outputs,
        batch: Mapping[str, Tensor],
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Add the weighted losses; see `Loss.forward`.

        Args:
            problem: The kind of label.
            student: The student's outputs.
            teacher: The teacher's outputs.
            batch: The batch.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss.
        """
        parts = [
            self._weight(weight, batch) * loss(problem, student, teacher, batch, reduction)
            for loss, weight in zip(self.losses, self.weights, strict=True)
        ]
        total: Tensor = sum(parts[1:], start=parts[0])
        return total

    def _weight(self, weight: float | tuple[float, float], batch: Mapping[str, Tensor]) -> float | Tensor:
        if not isinstance(weight, tuple):
            return weight
        return changing_weight(*weight, batch[PROGRESS], self.schedule) if PROGRESS in batch else weight[1]


def _checked(weight: float | Sequence[float]) -> float | tuple[float, float]:
    values = [weight] if isinstance(weight, (int, float)) else list(weight)
    if len(values) not in (1, 2) or not all(0 <= value < math.inf for value in values):
        raise StarkError(
            f"a weight of WeightedSum is {weight}: give a number of at least 0, or two of them, for the first and the "
            "last step of the fit"
        )
    return values[0] if isinstance(weight, (int, float)) else (values[0], values[-1])


def _layers(asked: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(layer for layers in asked for layer in layers))
