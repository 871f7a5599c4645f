"""The squared error of logits."""

from __future__ import annotations

from torch import Tensor

from stark.losses.logits import LogitLoss
from stark.problems.problem import Problem, Reduction

__all__ = ["LogitMSE"]


class LogitMSE(LogitLoss):
    r"""Mean squared error of the student's logits, and the task loss against the labels.

    $$w\, \frac{1}{C} \sum_c (s_c - t_c)^2 + (1 - w)\, \mathrm{CE}(s, y)$$

    It is the limit of `KLDivergence` for high temperatures, except that it also compares the mean of the logits. For
    labels that are scores it is `SoftTargets`.

    Source: Ba & Caruana (2014), section 2; Kim et al. (2021), section 3. Deviation: the mean over the classes instead
    of their sum, as for labels that are scores.

    Args:
        weight: w in [0, 1], the weight of the teacher.

    Examples:
        >>> import torch
        >>> from stark import Outputs, problem_for
        >>> student, teacher = Outputs(torch.tensor([[1.0, 0.0]])), Outputs(torch.tensor([[3.0, 0.0]]))
        >>> LogitMSE(weight=1.0)(problem_for(["a", "b"]), student, teacher, {"labels": torch.tensor([0])})
        tensor(2.)
    """

    def teacher_part(
        self, problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, reduction: Reduction
    ) -> Tensor:
        """The squared error; see `LogitLoss.teacher_part`.

        Args:
            problem: The kind of label.
            student_logits: Shape ``(batch, num_labels)``.
            teacher_logits: Shape ``(batch, num_labels)``.
            labels: Not used.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss, without its weight.
        """
        return problem.squared_error(student_logits, teacher_logits, reduction)
