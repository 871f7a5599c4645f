"""DIST: correlations of the two models' probabilities, within rows and within classes."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from stark.errors import StarkError
from stark.losses.class_logits import ClassLoss
from stark.problems.problem import Problem, Reduction, reduce_loss

__all__ = ["DIST", "correlations"]

_TINY = 1e-8


def correlations(first: Tensor, second: Tensor, dim: int) -> Tensor:
    """Pearson's correlations along a dimension.

    Args:
        first: Any shape.
        second: Of the same shape. The order of the two does not matter.
        dim: The dimension.

    Returns:
        The correlations in [-1, 1], without this dimension; 0 where one of the two is constant.

    Examples:
        >>> import torch
        >>> correlations(torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[2.0, 4.0, 8.0]]), dim=-1).round(decimals=4)
        tensor([1.])
    """
    return (_normalized(first, dim) * _normalized(second, dim)).sum(dim)


def _normalized(values: Tensor, dim: int) -> Tensor:
    return F.normalize(values - values.mean(dim, keepdim=True), dim=dim, eps=_TINY)


class DIST(ClassLoss):
    r"""Correlations of the student's and the teacher's probabilities, and the task loss on the labels.

    $$w\, T^2\, \left(\beta\, \frac{1}{B} \sum_b (1 - \rho(q_{b}, p_{b})) + \gamma\, \frac{1}{C} \sum_c
    (1 - \rho(q_{\cdot c}, p_{\cdot c}))\right) + (1 - w)\, \mathrm{CE}(s, y)$$

    $\rho$ is Pearson's correlation, p and q are the probabilities at temperature T: the first part compares the classes
    of each row, the second part the rows of each class. The second part depends on which rows are in a batch. Its value
    for a row is the row's term of the correlations, so that the values of a batch have its mean. With two classes the
    first part has no gradient, because two probabilities always correlate by 1 or -1.

    Source: Huang et al. (2022), Knowledge Distillation from A Stronger Teacher; with the temperature and the weights
    of their code.

    Args:
        temperature: T, above 0.
        weight: w in [0, 1], the weight of the teacher.
        beta: Weight of the correlations within rows, at least 0.
        gamma: Weight of the correlations within classes, at least 0.

    Raises:
        StarkError: If a setting is out of range.

    Examples:
        >>> import torch
        >>> from stark import Outputs, problem_for
        >>> alike = Outputs(torch.tensor([[1.0, 2.0, 4.0], [5.0, 1.0, 0.0]]))
        >>> loss = DIST(weight=1.0)(problem_for(["a", "b", "c"]), alike, alike, {"labels": torch.tensor([0, 1])})
        >>> bool(loss.abs() < 1e-4)
        True
    """

    def __init__(self, temperature: float = 1.0, weight: float = 0.5, beta: float = 1.0, gamma: float = 1.0) -> None:
        """Check the settings."""
        super().__init__(temperature, weight)
        for name, value in (("beta", beta), ("gamma", gamma)):
            if not 0 <= value < math.inf:
                raise StarkError(f"{name} is {value}: give a number of at least 0")
        self.beta = beta
        self.gamma = gamma

    def extra_repr(self) -> str:
        """The settings, by which a resumed fit recognises the loss."""
        return f"{super().extra_repr()}, beta={self.beta}, gamma={self.gamma}"

    def soft_loss(
        self, problem: Problem, *, student_logits: Tensor, teacher_logits: Tensor, reduction: Reduction
    ) -> Tensor:
        """Both parts, from logits divided by the temperature.

        Args:
            problem: The kind of label.
            student_logits: Shape ``(batch, num_labels)``, divided by the temperature.
            teacher_logits: Shape ``(batch, num_labels)``, divided by the temperature.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss, without its weight.
        """
        student, teacher = problem.distributions(student_logits), problem.distributions(teacher_logits)
        within_rows = 1 - correlations(student, teacher, -1)
        # A class's correlation is the sum of its rows' terms; times the number of rows it is their mean.
        terms = len(student) * _normalized(student, 0) * _normalized(teacher, 0)
        return reduce_loss(self.beta * within_rows + self.gamma * (1 - terms).mean(-1), reduction)
