"""Soft targets that are compared by the reverse Kullback-Leibler divergence."""

from __future__ import annotations

from torch import Tensor

from stark.losses.soft_targets import SoftTargets
from stark.problems.problem import Problem, Reduction, over_outcomes, reduce_loss

__all__ = ["ReverseKL", "reverse_kl"]


def reverse_kl(
    problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, reduction: Reduction = "mean"
) -> Tensor:
    r"""Kullback-Leibler divergence of the teacher's distribution from the student's.

    $$\sum_c q_c (\log q_c - \log p_c), \quad p = \mathrm{softmax}(t),\; q = \mathrm{softmax}(s)$$

    Where `kl_divergence` punishes a student that gives little to a class to which the teacher gives much, this one
    punishes a student that gives much to a class to which the teacher gives little.

    Source: MiniLLM (Gu et al., 2024), section 2.1, there for sequences of tokens.

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
        >>> student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 3.0]])
        >>> round(reverse_kl(problem_for(["a", "b"]), student_logits=student, teacher_logits=teacher).item(), 4)
        0.8554
    """
    log_p, log_q = problem.log_probabilities(teacher_logits), problem.log_probabilities(student_logits)
    return reduce_loss(over_outcomes(log_q.exp() * (log_q - log_p)), reduction)


class ReverseKL(SoftTargets):
    r"""`SoftTargets` with the reverse Kullback-Leibler divergence instead of soft cross-entropy.

    $$w\, T^2\, \mathrm{KL}(s/T \,\|\, t/T) + (1 - w)\, \mathrm{CE}(s, y)$$

    For labels that are scores, it is the squared error, as in `SoftTargets`.

    Args:
        temperature: T, above 0; no effect for labels that are scores.
        weight: w in [0, 1], the weight of the teacher.
    """

    def soft_loss(
        self, problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, reduction: Reduction
    ) -> Tensor:
        """The teacher's part of the loss; see `reverse_kl`.

        Args:
            problem: The kind of label.
            student_logits: Shape ``(batch, num_labels)``, divided by the temperature.
            teacher_logits: Shape ``(batch, num_labels)``, divided by the temperature.
            reduction: ``mean`` or ``none``.

        Returns:
            The divergence.
        """
        return reverse_kl(problem, student_logits=student_logits, teacher_logits=teacher_logits, reduction=reduction)
