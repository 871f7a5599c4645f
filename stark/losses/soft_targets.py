"""StarK's distillation loss: soft targets of the teacher, and the labels."""

from __future__ import annotations

import math

from torch import Tensor

from stark.errors import StarkError
from stark.losses.logits import LogitLoss
from stark.problems.problem import Problem, Reduction, over_outcomes, reduce_loss

__all__ = ["SoftTargets", "soft_cross_entropy"]


def soft_cross_entropy(
    problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, reduction: Reduction = "mean"
) -> Tensor:
    r"""Cross-entropy of the student's distribution under the teacher's.

    $$-\sum_c \mathrm{softmax}(t)_c \; \log \mathrm{softmax}(s)_c$$

    Where a label has a distribution each, it is the mean over the labels, as in the task loss.

    Not a KL divergence: the teacher's entropy is not subtracted. The student's gradient is the same; the gradient with
    respect to the *teacher*, on which friendliness is based, differs. The two sets of logits are given by keyword,
    because they have the same shape.

    Source: GeneZC/StarK `run_sparsification.py`, `models/kd.py`.

    Args:
        problem: The kind of label, whose distributions are compared.
        student_logits: Shape ``(batch, num_labels)``, divided by the temperature.
        teacher_logits: Shape ``(batch, num_labels)``, divided by the temperature.
        reduction: ``mean`` over the batch, or ``none`` for shape ``(batch,)``.

    Returns:
        The loss.

    Raises:
        ValueError: If logits of this kind of label have no distribution.

    Examples:
        >>> import torch
        >>> from stark.problems.table import problem_for
        >>> uniform = torch.zeros(1, 2)
        >>> soft_cross_entropy(problem_for(["a", "b"]), student_logits=uniform, teacher_logits=uniform)  # ln 2
        tensor(0.6931)
    """
    log_q = problem.log_probabilities(student_logits)
    return reduce_loss(-over_outcomes(problem.distributions(teacher_logits) * log_q), reduction)


class SoftTargets(LogitLoss):
    r"""Soft cross-entropy with the teacher, and the task loss against the labels.

    $$w\, T^2\, \mathrm{SoftCE}(s/T, t/T) + (1 - w)\, \mathrm{CE}(s, y)$$

    For labels that are scores, whose logits have no distribution: $w\,(s - t)^2 + (1 - w)\,(s - y)^2$, in the unit of
    `Problem.for_train`. For a row without a label, only the teacher's part is used.

    Source: the paper's section 3.1; GeneZC/StarK `models/kd.py` with T = 2 and w = 1/2.

    Args:
        temperature: T, above 0; no effect for labels that are scores.
        weight: w in [0, 1], the weight of the teacher.

    Raises:
        StarkError: If a setting is out of range.

    Examples:
        >>> import torch
        >>> from stark.problems.table import problem_for
        >>> from stark import Outputs
        >>> uniform = Outputs(torch.zeros(1, 2))
        >>> loss = SoftTargets()(problem_for(["a", "b"]), uniform, uniform, {"labels": torch.tensor([1])})
        >>> round(loss.item() / 0.693147, 3)  # (4 ln 2 + ln 2) / 2
        2.5
    """

    def __init__(self, temperature: float = 2.0, weight: float = 0.5) -> None:
        """Check the settings."""
        super().__init__(weight)
        if not 0 < temperature < math.inf:  # nan is refused, too
            raise StarkError(f"temperature is {temperature}: give a number above 0")
        self.temperature = temperature

    def extra_repr(self) -> str:
        """The settings, by which a resumed fit recognises the loss."""
        return f"temperature={self.temperature}, weight={self.weight}"

    def teacher_part(
        self, problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, reduction: Reduction
    ) -> Tensor:
        """The squared temperature times `soft_loss`; the squared error for labels that are scores.

        Args:
            problem: The kind of label.
            student_logits: Shape ``(batch, num_labels)``.
            teacher_logits: Shape ``(batch, num_labels)``.
            labels: Not used.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss, without its weight.
        """
        if not problem.has_distributions:
            return problem.squared_error(student_logits, teacher_logits, reduction)
        return self.temperature**2 * self.soft_loss(
            problem,
            student_logits=student_logits / self.temperature,
            teacher_logits=teacher_logits / self.temperature,
            reduction=reduction,
        )

    def soft_loss(
        self, problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, reduction: Reduction
    ) -> Tensor:
        """The teacher's part of the loss, from logits divided by the temperature.

        Args:
            problem: The kind of label.
            student_logits: Shape ``(batch, num_labels)``, divided by the temperature.
            teacher_logits: Shape ``(batch, num_labels)``, divided by the temperature.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss; here it is `soft_cross_entropy`.
        """
        return soft_cross_entropy(
            problem, student_logits=student_logits, teacher_logits=teacher_logits, reduction=reduction
        )
