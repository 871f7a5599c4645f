"""Soft targets from standardised logits."""

from __future__ import annotations

from torch import Tensor

from stark.losses.class_logits import ClassLoss
from stark.losses.kl_divergence import kl_divergence
from stark.problems.problem import Problem, Reduction

__all__ = ["StandardizedLogits", "standardized"]

_TINY = 1e-7


def standardized(logits: Tensor) -> Tensor:
    r"""Logits with mean 0 and standard deviation 1 in each row: $(z - \bar z) / \sigma(z)$.

    Args:
        logits: Shape ``(batch, num_labels)``.

    Returns:
        A tensor of the same shape; zeros for a row of equal logits.

    Examples:
        >>> import torch
        >>> standardized(torch.tensor([[1.0, 2.0, 3.0]]))
        tensor([[-1.2247,  0.0000,  1.2247]])
    """
    centred = logits - logits.mean(-1, keepdim=True)
    # The root is taken of a positive number, because its gradient at 0 is infinite.
    return centred / (centred.square().mean(-1, keepdim=True) + _TINY**2).sqrt()


class StandardizedLogits(ClassLoss):
    r"""Kullback-Leibler divergence of standardised logits, and the task loss on the labels.

    $$w\, T^2\, \mathrm{KL}\left(Z(t)/T \,\|\, Z(s)/T\right) + (1 - w)\, \mathrm{CE}(s, y),
    \quad Z(z) = (z - \bar z) / \sigma(z)$$

    The student learns the relations of the teacher's logits, and not their scale. Two classes are refused: their
    standardised logits are always 1 and -1.

    Source: Sun et al. (2024), Logit Standardization in Knowledge Distillation, section 4.

    Args:
        temperature: T, above 0, applied after standardising.
        weight: w in [0, 1], the weight of the teacher.

    Examples:
        >>> import torch
        >>> from stark import Outputs, problem_for
        >>> student, teacher = Outputs(torch.tensor([[1.0, 2.0, 4.0]])), Outputs(torch.tensor([[10.0, 20.0, 40.0]]))
        >>> loss = StandardizedLogits(weight=1.0)
        >>> loss(problem_for(["a", "b", "c"]), student, teacher, {"labels": torch.tensor([0])}).abs() < 1e-6
        tensor(True)
    """

    fewest_classes = 3

    def soft_loss(
        self, problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, reduction: Reduction
    ) -> Tensor:
        """The divergence of the standardised logits, which do not depend on an earlier division.

        Args:
            problem: The kind of label.
            student_logits: Shape ``(batch, num_labels)``.
            teacher_logits: Shape ``(batch, num_labels)``.
            reduction: ``mean`` or ``none``.

        Returns:
            The divergence.
        """
        return kl_divergence(
            problem,
            student_logits=standardized(student_logits) / self.temperature,
            teacher_logits=standardized(teacher_logits) / self.temperature,
            reduction=reduction,
        )
