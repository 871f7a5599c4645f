"""Decoupled knowledge distillation: the target class and the other classes are compared separately."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stark.errors import StarkError
from stark.losses.class_logits import ClassLoss
from stark.problems.problem import Problem, Reduction, reduce_loss

__all__ = ["DecoupledKD", "decoupled_divergences"]


def decoupled_divergences(*, student_logits: Tensor, teacher_logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    r"""The two parts of the Kullback-Leibler divergence from the teacher's distribution.

    With p the teacher's distribution, q the student's, y the target class, and $\hat p$, $\hat q$ the distributions
    over the other classes: $\mathrm{KL}(p \,\|\, q) = \mathrm{TCKD} + (1 - p_y)\, \mathrm{NCKD}$, where TCKD is the
    divergence of $(p_y, 1 - p_y)$ from $(q_y, 1 - q_y)$, and NCKD is $\mathrm{KL}(\hat p \,\|\, \hat q)$.

    Args:
        student_logits: Shape ``(batch, num_labels)``, divided by the temperature.
        teacher_logits: Shape ``(batch, num_labels)``, divided by the temperature.
        target: Target classes, ``(batch,)``.

    Returns:
        TCKD and NCKD, each of shape ``(batch,)``; NCKD of two classes is 0.

    Examples:
        >>> student, teacher = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 1.0]])
        >>> target_part, other_part = decoupled_divergences(
        ...     student_logits=student, teacher_logits=teacher, target=torch.tensor([0])
        ... )
        >>> bool(target_part > 0), other_part.item()
        (True, 0.0)
    """
    # Not by one_hot, which reads the classes in Python and so waits for a GPU.
    is_target = torch.arange(student_logits.shape[-1], device=target.device) == target[:, None]
    # The lowest number instead of minus infinity: its probability is 0, too, and its gradient is not NaN.
    lowest = torch.finfo(student_logits.dtype).min / 4

    def parts(logits: Tensor) -> tuple[Tensor, Tensor]:
        log_p = logits.log_softmax(-1)
        one = log_p.gather(-1, target[:, None])
        rest = log_p.masked_fill(is_target, lowest).logsumexp(-1, keepdim=True)
        return torch.cat([one, rest], dim=-1), logits.masked_fill(is_target, lowest).log_softmax(-1)

    divergences = [
        (log_p.exp() * (log_p - log_q)).sum(-1)
        for log_p, log_q in zip(parts(teacher_logits), parts(student_logits), strict=True)
    ]
    return divergences[0], divergences[1]


class DecoupledKD(ClassLoss):
    r"""Decoupled knowledge distillation, DKD, and the task loss on the labels.

    $$w\, T^2\, (\alpha\, \mathrm{TCKD} + \beta\, \mathrm{NCKD}) + (1 - w)\, \mathrm{CE}(s, y)$$

    The weight of the other classes is not the teacher's doubt $1 - p_y$, as in `KLDivergence`, but $\beta$; see
    `decoupled_divergences`. The target of a row without a label is the teacher's prediction. With two classes, there is
    one other class and only TCKD is left.

    Source: Zhao et al. (2022), Decoupled Knowledge Distillation, section 3.

    Args:
        temperature: T, above 0.
        weight: w in [0, 1], the weight of the teacher.
        alpha: Weight of the target class, at least 0.
        beta: Weight of the other classes, at least 0.

    Raises:
        StarkError: If a setting is out of range.

    Examples:
        >>> from stark import Outputs, problem_for
        >>> alike = Outputs(torch.tensor([[1.0, 2.0, 4.0]]))
        >>> DecoupledKD(weight=1.0)(problem_for(["a", "b", "c"]), alike, alike, {"labels": torch.tensor([0])})
        tensor(0.)
    """

    def __init__(self, temperature: float = 2.0, weight: float = 0.5, alpha: float = 1.0, beta: float = 8.0) -> None:
        """Check the settings."""
        super().__init__(temperature, weight)
        for name, value in (("alpha", alpha), ("beta", beta)):
            if not 0 <= value < math.inf:
                raise StarkError(f"{name} is {value}: give a number of at least 0")
        self.alpha = alpha
        self.beta = beta

    def extra_repr(self) -> str:
        """The settings, by which a resumed fit recognises the loss."""
        return f"{super().extra_repr()}, alpha={self.alpha}, beta={self.beta}"

    def teacher_part(
        self, problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, reduction: Reduction
    ) -> Tensor:
        """The weighted sum of the two parts; see `LogitLoss.teacher_part`.

        Args:
            problem: The kind of label.
            student_logits: Shape ``(batch, num_labels)``.
            teacher_logits: Shape ``(batch, num_labels)``.
            labels: Class ids, ``(batch,)``.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss, without its weight.
        """
        target_part, other_part = decoupled_divergences(
            student_logits=student_logits / self.temperature,
            teacher_logits=teacher_logits / self.temperature,
            target=torch.where(problem.is_labelled(labels), labels, teacher_logits.argmax(-1)),
        )
        return self.temperature**2 * reduce_loss(self.alpha * target_part + self.beta * other_part, reduction)
