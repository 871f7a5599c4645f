"""The logits and labels of a validation, of all processes together."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

__all__ = ["Validated", "Validation"]


class Validation(NamedTuple):
    """Rows of a validation.

    Args:
        logits: Their logits, ``(rows, num_labels)``.
        labels: Their labels.
    """

    logits: Tensor
    labels: Tensor


class Validated(Metric):
    """Keeps the logits and labels of batches. It is a metric, because torchmetrics gathers parts of different lengths.

    Examples:
        >>> import torch
        >>> kept = Validated()
        >>> kept.update(torch.zeros(1, 2), torch.tensor([[1, 0]]))
        >>> kept.update(torch.ones(1, 2), torch.tensor([[0, 1]]))
        >>> kept.compute().logits.tolist()
        [[0.0, 0.0], [1.0, 1.0]]
    """

    full_state_update = False
    logits: list[Tensor]
    labels: list[Tensor]

    def __init__(self) -> None:
        """Begin without rows."""
        super().__init__()
        self.add_state("logits", default=[], dist_reduce_fx="cat")
        self.add_state("labels", default=[], dist_reduce_fx="cat")

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Keep a batch, which may have no rows.

        Args:
            logits: ``(batch, num_labels)``.
            labels: The labels.
        """
        self.logits.append(logits.float())
        self.labels.append(labels)

    def compute(self) -> Validation:
        """Return the rows of all processes."""
        return self.own()

    def own(self) -> Validation:
        """Return the rows of this process; within `compute` those of all."""
        return Validation(dim_zero_cat(self.logits), dim_zero_cat(self.labels))
