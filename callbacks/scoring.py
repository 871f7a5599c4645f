"""Batches for the pass over data that scores heads and neurons; for pruning and teacher sparsification."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import torch

from stark.choices import ScoreReduction, ScoringSplit
from stark.errors import StarkTypeError
from stark.forward.classifying import Batch

__all__ = ["scoring_batches"]


@runtime_checkable
class _ScoringData(Protocol):
    def scoring_dataloader(self, split: ScoringSplit, grouped: bool = True) -> Iterable[Batch]: ...


def scoring_batches(
    data: object, split: ScoringSplit, reduction: ScoreReduction, device: torch.device
) -> Iterable[Batch]:
    """The data module's batches for scoring.

    Args:
        data: A data module, set up, that has ``scoring_dataloader(split, grouped)``.
        split: The part of the data.
        reduction: Reduction of the gradients. With ``batch``, scores depend on which rows share a batch, so rows keep
            their order; otherwise rows are grouped by length.
        device: Device that the batches are moved to.

    Yields:
        Batches on the device.

    Raises:
        StarkTypeError: If the data module has no such method.
    """
    if not isinstance(data, _ScoringData):
        raise StarkTypeError(f"{type(data).__name__} has no scoring_dataloader(split, grouped), which scoring needs")
    for batch in data.scoring_dataloader(split, grouped=reduction == "example"):
        yield {name: tensor.to(device) for name, tensor in batch.items()}
