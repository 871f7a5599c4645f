"""Soft targets that are compared by the Jensen-Shannon divergence."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stark.losses.soft_targets import SoftTargets
from stark.problems.problem import Problem, Reduction, over_outcomes, reduce_loss

__all__ = ["JensenShannon", "jensen_shannon"]


def jensen_shannon(
    problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, reduction: Reduction = "mean"
) -> Tensor:
    r"""Jensen-Shannon divergence of two distributions, at most ln 2.

    $$\tfrac{1}{2} \mathrm{KL}(p \,\|\, m) + \tfrac{1}{2} \mathrm{KL}(q \,\|\, m),
    \quad m = \tfrac{1}{2} (p + q),\; p = \mathrm{softmax}(t),\; q = \mathrm{softmax}(s)$$

    It is bounded, so that rows on which the two models contradict each other do not dominate a batch.

    Source: Lin (1991); f-distill (Wen et al., 2023), there for sequences of tokens.

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
        >>> student, teacher = torch.tensor([[100.0, 0.0]]), torch.tensor([[0.0, 100.0]])
        >>> jensen_shannon(problem_for(["a", "b"]), student_logits=student, teacher_logits=teacher)  # ln 2
        tensor(0.6931)
    """
    log_p, log_q = problem.log_probabilities(teacher_logits), problem.log_probabilities(student_logits)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    terms = log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)
    return reduce_loss(over_outcomes(terms) / 2, reduction)


class JensenShannon(SoftTargets):
    r"""`SoftTargets` with the Jensen-Shannon divergence instead of soft cross-entropy.

    $$w\, T^2\, \mathrm{JS}(t/T, s/T) + (1 - w)\, \mathrm{CE}(s, y)$$

    For labels that are scores, it is the squared error, as in `SoftTargets`.

    Args:
        temperature: T, above 0; no effect for labels that are scores.
        weight: w in [0, 1], the weight of the teacher.
    """

    def soft_loss(
        self, problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, reduction: Reduction
    ) -> Tensor:
        """The teacher's part of the loss; see `jensen_shannon`.

        Args:
            problem: The kind of label.
            student_logits: Shape ``(batch, num_labels)``, divided by the temperature.
            teacher_logits: Shape ``(batch, num_labels)``, divided by the temperature.
            reduction: ``mean`` or ``none``.

        Returns:
            The divergence.
        """
        return jensen_shannon(
            problem, student_logits=student_logits, teacher_logits=teacher_logits, reduction=reduction
        )
