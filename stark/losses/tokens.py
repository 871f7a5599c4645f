"""Means over the tokens of rows that have different lengths."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["squared_distances", "token_means"]


def token_means(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over the real tokens of each row.

    Args:
        values: One value per token, ``(batch, length)``.
        mask: ``attention_mask``, ``(batch, length)``, 1 for real tokens and 0 for padding.

    Returns:
        Shape ``(batch,)``, in float32 or a wider type.

    Examples:
        >>> token_means(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[1, 1, 0]]))
        tensor([2.])
    """
    real = mask.to(torch.promote_types(values.dtype, torch.float32))
    return (values * real).sum(-1) / real.sum(-1)


def squared_distances(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """The mean squared error over real tokens and channels of each row.

    Args:
        first: Shape ``(batch, length, channels)``.
        second: Of the same shape. The order of the two does not matter.
        mask: ``attention_mask``, ``(batch, length)``.

    Returns:
        Shape ``(batch,)``, in float32 or a wider type.

    Examples:
        >>> squared_distances(torch.zeros(1, 2, 4), torch.ones(1, 2, 4), torch.tensor([[1, 0]]))
        tensor([1.])
    """
    wide = torch.promote_types(first.dtype, torch.float32)
    return token_means((first.to(wide) - second.to(wide)).square().mean(-1), mask)
