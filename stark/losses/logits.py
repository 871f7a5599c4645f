"""The interface of losses that compare logits: the teacher's part, and the task loss on the labels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor
from transformers import PreTrainedModel

from stark.errors import StarkError
from stark.forward.classifying import Outputs
from stark.losses.loss import Loss
from stark.problems.problem import Problem, Reduction
from stark.problems.table import problem_of

__all__ = ["LogitLoss"]


class LogitLoss(Loss):
    r"""The teacher's part, which compares logits, and the task loss on the labels.

    $$w\, L(s, t) + (1 - w)\, \mathrm{CE}(s, y)$$

    For a row without a label, only the teacher's part is used. A new loss of logits is a subclass that defines
    `teacher_part`, or a subclass of `SoftTargets` that defines `SoftTargets.soft_loss`.

    Args:
        weight: w in [0, 1], the weight of the teacher.

    Raises:
        StarkError: If the weight is out of range.
    """

    def __init__(self, weight: float = 0.5) -> None:
        """Check the weight."""
        super().__init__()
        if not 0 <= weight <= 1:  # nan is refused, too
            raise StarkError(f"weight is {weight}: give the teacher's weight in [0, 1]")
        self.weight = weight

    def extra_repr(self) -> str:
        """The settings, by which a resumed fit recognises the loss."""
        return f"weight={self.weight}"

    def check_problem(self, problem: Problem) -> None:
        """Refuse a kind of label whose logits cannot be compared; accepts all by default.

        Args:
            problem: The kind of label.

        Raises:
            StarkError: If it is refused.
        """

    def prepare_(self, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
        """Check the kind of label.

        Args:
            student: The student.
            teacher: The teacher.

        Raises:
            StarkError: If the loss cannot compare logits of this kind of label.
        """
        self.check_problem(problem_of(student.config))

    def forward(
        self,
        problem: Problem,
        student: Outputs,
        teacher: Outputs,
        batch: Mapping[str, Tensor],
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Compare the outputs; see `Loss.forward`.

        Args:
            problem: The kind of label.
            student: The student's outputs.
            teacher: The teacher's outputs.
            batch: The batch, with ``labels``.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss.

        Raises:
            StarkError: If the loss cannot compare logits of this kind of label.
        """
        self.check_problem(problem)
        labels = batch["labels"]
        hard = problem.task_loss(student.logits, labels, reduction)
        soft = self.teacher_part(
            problem,
            student_logits=student.logits,
            teacher_logits=teacher.logits,
            labels=labels,
            reduction=reduction,
        )
        return self.weight * soft + (1 - self.weight) * hard

    @abstractmethod
    def teacher_part(
        self, problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, reduction: Reduction
    ) -> Tensor:
        """The teacher's part of the loss.

        Args:
            problem: The kind of label.
            student_logits: Shape ``(batch, num_labels)``.
            teacher_logits: Shape ``(batch, num_labels)``.
            labels: Shape ``(batch,)``; some may be missing, see `Problem`.
            reduction: ``mean`` over the batch, or ``none`` for shape ``(batch,)``.

        Returns:
            The loss, without its weight.
        """
