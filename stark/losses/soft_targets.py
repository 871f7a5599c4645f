"""Losses of distillation: soft cross-entropy, Kullback-Leibler divergence, and StarK's mixture with the labels.

Shapes: logits are ``(batch, num_labels)``; one label means regression, then labels are floats.
Every loss takes the two sets of logits by keyword, because they have the same shape and swapping them is silent.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from stark.problems.problem import Reduction, reduce_loss, task_loss

__all__ = ["distillation_loss", "soft_cross_entropy"]


def soft_cross_entropy(
    *, student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    r"""Cross-entropy of the student's distribution under the teacher's, both softened by a temperature.

    $$-\sum_c \mathrm{softmax}(t / T)_c \; \log \mathrm{softmax}(s / T)_c$$

    Not a KL divergence: the teacher's entropy is not subtracted. The student's gradient is the same; the gradient with
    respect to the *teacher*, on which friendliness rests, is not. No factor T² is applied.

    Source: GeneZC/StarK `run_sparsification.py`, `models/kd.py`.

    Args:
        student_logits: Shape ``(batch, num_labels)``.
        teacher_logits: Shape ``(batch, num_labels)``.
        temperature: T, above 0.
        reduction: ``mean`` over the batch, or ``none`` for shape ``(batch,)``.

    Returns:
        The loss.

    Examples:
        >>> import torch
        >>> uniform = torch.zeros(1, 2)
        >>> soft_cross_entropy(student_logits=uniform, teacher_logits=uniform)  # ln 2
        tensor(0.6931)
    """
    target = F.softmax(teacher_logits / temperature, dim=-1)
    return reduce_loss(-(target * F.log_softmax(student_logits / temperature, dim=-1)).sum(-1), reduction)


def distillation_loss(
    *,
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    temperature: float = 2.0,
    weight: float = 0.5,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""StarK's loss of knowledge distillation.

    $$w\, T^2\, \mathrm{SoftCE}(s/T, t/T) + (1 - w)\, \mathrm{CE}(s, y)$$

    For regression (one label name): $w\,(s - t)^2 + (1 - w)\,(s - y)^2$.

    Source: the paper's section 3.1; GeneZC/StarK `models/kd.py` with T = 2 and w = 1/2.

    Args:
        student_logits: Shape ``(batch, num_labels)``.
        teacher_logits: Shape ``(batch, num_labels)``.
        labels: Shape ``(batch,)``; of a row without a label, see `task_loss`, only the teacher's part counts.
        temperature: T, above 0; without meaning for regression.
        weight: w in [0, 1], the weight of the teacher.
        reduction: ``mean`` over the batch, or ``none`` for shape ``(batch,)``.

    Returns:
        The loss.

    Examples:
        >>> import torch
        >>> uniform = torch.zeros(1, 2)
        >>> loss = distillation_loss(student_logits=uniform, teacher_logits=uniform, labels=torch.tensor([1]))
        >>> round(loss.item() / 0.693147, 3)  # (4 ln 2 + ln 2) / 2
        2.5
    """
    hard = task_loss(student_logits, labels, reduction)
    if student_logits.shape[-1] == 1:
        soft = F.mse_loss(student_logits.squeeze(-1), teacher_logits.squeeze(-1), reduction=reduction)
    else:
        soft = temperature**2 * soft_cross_entropy(
            student_logits=student_logits, teacher_logits=teacher_logits, temperature=temperature, reduction=reduction
        )
    return weight * soft + (1 - weight) * hard
