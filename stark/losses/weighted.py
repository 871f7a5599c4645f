"""The sum of several distillation losses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn
from transformers import PreTrainedModel

from stark.errors import StarkError
from stark.forward.classifying import Outputs
from stark.losses.loss import Loss
from stark.problems.problem import Problem, Reduction

__all__ = ["WeightedSum"]


class WeightedSum(Loss):
    """The weighted sum of distillation losses.

    Args:
        losses: The losses.
        weights: A weight for each loss.

    Raises:
        StarkError: If there is no loss, or another number of weights.

    Examples:
        ```yaml
        loss:
          class_path: stark.WeightedSum
          init_args:
            losses:
              - class_path: stark.SoftTargets
              - class_path: my_losses.HiddenStates
            weights: [1.0, 0.1]
        ```
    """

    def __init__(self, losses: list[Loss], weights: list[float]) -> None:
        """Keep the losses."""
        super().__init__()
        if not losses or len(losses) != len(weights):
            raise StarkError(f"{len(weights)} weights for {len(losses)} losses: give each loss one")
        self.losses = nn.ModuleList(losses)
        self.weights = list(weights)
        self.student_layers = _layers(loss.student_layers for loss in losses)
        self.teacher_layers = _layers(loss.teacher_layers for loss in losses)

    def extra_repr(self) -> str:
        """The weights, by which a resumed fit recognises the loss."""
        return f"weights={self.weights}"

    def prepare_(self, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
        """Prepare each loss.

        Args:
            student: The student, in its final shape.
            teacher: The teacher.
        """
        for loss in self.losses:
            assert isinstance(loss, Loss)
            loss.prepare_(student, teacher)

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
            weight * loss(problem, student, teacher, batch, reduction)
            for loss, weight in zip(self.losses, self.weights, strict=True)
        ]
        total: Tensor = sum(parts[1:], start=parts[0])
        return total


def _layers(asked: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(layer for layers in asked for layer in layers))
