"""Kullback-Leibler divergence of the student's distribution from the teacher's."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from stark.problems.problem import Reduction, reduce_loss

__all__ = ["kl_divergence"]


def kl_divergence(
    *, student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    r"""Kullback-Leibler divergence of the student's softened distribution from the teacher's.

    $$\sum_c p_c (\log p_c - \log q_c), \quad p = \mathrm{softmax}(t / T),\; q = \mathrm{softmax}(s / T)$$

    Equals `soft_cross_entropy` minus the teacher's entropy. No factor T² is applied.

    Args:
        student_logits: Shape ``(batch, num_labels)``.
        teacher_logits: Shape ``(batch, num_labels)``.
        temperature: T, above 0.
        reduction: ``mean`` over the batch, or ``none`` for shape ``(batch,)``.

    Returns:
        The loss.

    Examples:
        >>> import torch
        >>> logits = torch.tensor([[1.0, 2.0]])
        >>> kl_divergence(student_logits=logits, teacher_logits=logits)
        tensor(0.)
    """
    log_p = F.log_softmax(teacher_logits / temperature, dim=-1)
    log_q = F.log_softmax(student_logits / temperature, dim=-1)
    return reduce_loss((log_p.exp() * (log_p - log_q)).sum(-1), reduction)
