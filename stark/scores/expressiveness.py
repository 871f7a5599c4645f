"""Expressiveness: how much the task loss depends on a unit."""

from __future__ import annotations

from torch import Tensor

from stark.forward.classifying import Batch, Outputs
from stark.problems.problem import Problem
from stark.scores.score import Compared, GradientScore

__all__ = ["Expressiveness"]


class Expressiveness(GradientScore):
    r"""Absolute gradients of the task loss of each example: $\sum_b |\partial L_b / \partial m|$.

    Source: the paper's section 3.1; GeneZC/StarK `run_pruning.py`.
    """

    def losses(self, problem: Problem, outputs: Outputs, batch: Batch, distilled: Compared | None) -> Tensor:
        """The task loss of each example.

        Args:
            problem: The kind of label.
            outputs: Outputs of the model that is scored.
            batch: The batch, with ``labels``.
            distilled: Not used.

        Returns:
            Losses ``(batch,)``.
        """
        return problem.task_loss(outputs.logits, batch["labels"], reduction="none")
