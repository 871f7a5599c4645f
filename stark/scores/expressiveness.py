"""Expressiveness: what the loss on the labels loses with a unit."""

from __future__ import annotations

from stark.problems.problem import Problem
from stark.scores.scoring import UnitLoss

__all__ = ["EXPRESSIVENESS", "expressiveness_loss"]


EXPRESSIVENESS = "expressiveness"


def expressiveness_loss(problem: Problem) -> UnitLoss:
    """Loss whose mask gradients are expressiveness: the task loss of each example.

    Args:
        problem: The kind of label.

    Returns:
        A function of the model's outputs and a batch with ``labels``, which gives ``(batch,)``.
    """
    return lambda outputs, batch: problem.task_loss(outputs.logits, batch["labels"], reduction="none")
