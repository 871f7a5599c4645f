"""Soft targets that are compared by the Kullback-Leibler divergence."""

from __future__ import annotations

from torch import Tensor

from stark.losses.soft_targets import SoftTargets
from stark.problems.problem import Problem, Reduction, over_outcomes, reduce_loss

__all__ = ["KLDivergence", "kl_divergence"]


def kl_divergence(
    problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, reduction: Reduction = "mean"
) -> Tensor:
    r"""Kullback-Leibler divergence of the student's distribution from the teacher's.

    $$\sum_c p_c (\log p_c - \log q_c), \quad p = \mathrm{softmax}(t),\; q = \mathrm{softmax}(s)$$

    Equals `soft_cross_entropy` minus the teacher's entropy.

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
        >>> logits = torch.tensor([[1.0, 2.0]])
        >>> kl_divergence(problem_for(["a", "b"]), student_logits=logits, teacher_logits=logits)
        tensor(0.)
    """
    log_p, log_q = problem.log_probabilities(teacher_logits), problem.log_probabilities(student_logits)
    return reduce_loss(over_outcomes(log_p.exp() * (log_p - log_q)), reduction)


class KLDivergence(SoftTargets):
    r"""`SoftTargets` with the Kullback-Leibler divergence instead of soft cross-entropy.

    $$w\, T^2\, \mathrm{KL}(t/T \,\|\, s/T) + (1 - w)\, \mathrm{CE}(s, y)$$

    The student's gradient is that of `SoftTargets`; the teacher's gradient, on which friendliness is based, differs.

    Args:
        temperature: T, above 0; no effect for labels that are scores.
        weight: w in [0, 1], the weight of the teacher.
    """

    def soft_loss(
        self, problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, reduction: Reduction
    ) -> Tensor:
        """The teacher's part of the loss; see `kl_divergence`.

        Args:
            problem: The kind of label.
            student_logits: Shape ``(batch, num_labels)``, divided by the temperature.
            teacher_logits: Shape ``(batch, num_labels)``, divided by the temperature.
            reduction: ``mean`` or ``none``.

        Returns:
            The divergence.
        """
        return kl_divergence(problem, student_logits=student_logits, teacher_logits=teacher_logits, reduction=reduction)
