"""Soft targets that are compared by the symmetric Kullback-Leibler divergence."""

from __future__ import annotations

from torch import Tensor

from stark.losses.soft_targets import SoftTargets
from stark.problems.problem import Problem, Reduction, over_outcomes, reduce_loss

__all__ = ["SymmetricKL", "symmetric_kl"]


def symmetric_kl(
    problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, reduction: Reduction = "mean"
) -> Tensor:
    r"""Mean of the Kullback-Leibler divergences in both directions, half of Jeffreys' divergence.

    $$\tfrac{1}{2} \sum_c (p_c - q_c) (\log p_c - \log q_c), \quad p = \mathrm{softmax}(t),\; q = \mathrm{softmax}(s)$$

    It is the mean of `kl_divergence` and `reverse_kl`.

    Source: Jeffreys (1946).

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
        >>> round(symmetric_kl(problem_for(["a", "b"]), student_logits=student, teacher_logits=teacher).item(), 4)
        0.6789
    """
    log_p, log_q = problem.log_probabilities(teacher_logits), problem.log_probabilities(student_logits)
    return reduce_loss(over_outcomes((log_p.exp() - log_q.exp()).mul(log_p - log_q)) / 2, reduction)


class SymmetricKL(SoftTargets):
    r"""`SoftTargets` with the symmetric Kullback-Leibler divergence instead of soft cross-entropy.

    $$w\, T^2\, \tfrac{1}{2} \left(\mathrm{KL}(t/T \,\|\, s/T) + \mathrm{KL}(s/T \,\|\, t/T)\right)
    + (1 - w)\, \mathrm{CE}(s, y)$$

    For labels that are scores, it is the squared error, as in `SoftTargets`.

    Args:
        temperature: T, above 0; no effect for labels that are scores.
        weight: w in [0, 1], the weight of the teacher.
    """

    def soft_loss(
        self, problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, reduction: Reduction
    ) -> Tensor:
        """The teacher's part of the loss; see `symmetric_kl`.

        Args:
            problem: The kind of label.
            student_logits: Shape ``(batch, num_labels)``, divided by the temperature.
            teacher_logits: Shape ``(batch, num_labels)``, divided by the temperature.
            reduction: ``mean`` or ``none``.

        Returns:
            The divergence.
        """
        return symmetric_kl(problem, student_logits=student_logits, teacher_logits=teacher_logits, reduction=reduction)
