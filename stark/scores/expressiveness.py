"""Expressiveness: what the loss on the labels loses with a unit."""

from __future__ import annotations

from torch import Tensor

from stark.forward.classifying import Batch
from stark.problems.problem import task_loss

__all__ = ["EXPRESSIVENESS", "expressiveness_loss"]


EXPRESSIVENESS = "expressiveness"


def expressiveness_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Loss whose mask gradients are expressiveness: the task loss of each example, ``(batch,)``.

    Args:
        logits: Shape ``(batch, num_labels)``.
        batch: With ``labels``.

    Returns:
        The losses.
    """
    return task_loss(logits, batch["labels"], reduction="none")
