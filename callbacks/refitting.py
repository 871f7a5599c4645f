"""Refitting with rows of a data module; for pruning and teacher sparsification."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import torch
from pytorch_lightning.utilities import rank_zero_info
from torch import nn
from transformers import PreTrainedModel

from stark.errors import StarkTypeError
from stark.forward.classifying import Batch
from stark.refitting import refit_

__all__ = ["TOKENS", "refit_on_train_"]

TOKENS = 2**14
"""Number of tokens of train that a cut model is refitted on."""


@runtime_checkable
class _RefittingData(Protocol):
    def refitting_dataloader(self, tokens: int) -> Iterable[Batch]: ...


def refit_on_train_(
    model: PreTrainedModel, dense: PreTrainedModel, data: object, device: torch.device
) -> PreTrainedModel:
    """Refit a cut model on rows of train; see `refit_`.

    Rows of the selection part, which decides between models, are not used.

    Args:
        model: The cut model; it is moved to the device and changed.
        dense: The model that it was cut from; it is moved to the device.
        data: A data module, set up, that has ``refitting_dataloader(tokens)``.
        device: Device of the computation.

    Returns:
        The cut model.

    Raises:
        StarkTypeError: If the data module has no such method.
    """
    if not isinstance(data, _RefittingData):
        raise StarkTypeError(f"{type(data).__name__} has no refitting_dataloader(tokens), which refitting needs")
    batches = [
        {name: tensor.to(device) for name, tensor in batch.items()} for batch in data.refitting_dataloader(TOKENS)
    ]
    rows = sum(len(batch["attention_mask"]) for batch in batches)
    tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
    rank_zero_info(f"Refitting: output projections are solved on {rows} rows of train with {tokens} tokens")
    return refit_(nn.Module.to(model, device), nn.Module.to(dense, device), batches)
