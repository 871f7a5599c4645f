"""Imitation: how much the distillation loss depends on a unit of the student."""

from __future__ import annotations

import torch
from torch import Tensor

from stark.forward.classifying import Batch, Outputs, outputs_of
from stark.problems.problem import Problem
from stark.scores.score import Compared, GradientScore, Taught

__all__ = ["Imitation"]


class Imitation(GradientScore):
    r"""Absolute gradients of the distillation loss of each example: $\sum_b |\partial L_b / \partial m|$.

    The masks m are the student's, and the teacher is constant. It ranks the units of a student that is being distilled,
    for `GradualPruning`: a student that does not differ from its teacher yet has a gradient from the labels alone.

    Source: the task loss of `Expressiveness`, replaced by the loss that the student is trained with.
    """

    needs_teacher = True

    def losses(self, problem: Problem, outputs: Outputs, batch: Batch, distilled: Compared | None) -> Tensor:
        """The distillation loss of each example.

        Args:
            problem: The kind of label.
            outputs: Outputs of the student.
            batch: The batch.
            distilled: The teacher and the loss.

        Returns:
            Losses ``(batch,)``.
        """
        assert isinstance(distilled, Taught)  # score_units checks it
        loss = distilled.loss
        with torch.no_grad():
            of_teacher = outputs_of(distilled.teacher, batch, loss.teacher_layers, loss.teacher_projections)
        compared: Tensor = loss(problem, outputs, of_teacher, batch, "none")
        return compared
