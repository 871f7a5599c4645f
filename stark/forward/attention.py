"""Attention whose dropout is cheap on a CPU, where torch's kernel for it draws a number for each pair of tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stark.forward.dropout import dropout

__all__ = ["attention"]


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, dropout_p: float = 0.0) -> Tensor:
    r"""Scaled dot product attention, $D_p(\mathrm{softmax}(q k^\top / \sqrt{d})) v$, as torch's function of it.

    Only with dropout on a CPU is it written out, in half the time of torch's; dropout is then
    `dropout`.

    Args:
        query: ``(batch, heads, tokens, d)``.
        key: ``(batch, heads, length, d)``.
        value: Values, of the shape of ``key``.
        mask: Broadcasts to ``(batch, heads, tokens, length)``; True where a token may be looked at, of which each row
            has some.
        dropout_p: Probability in [0, 1].

    Returns:
        As query.

    Examples:
        >>> query = torch.randn(1, 1, 1, 8)
        >>> torch.equal(attention(query, query, query), query)  # one token looks at itself
        True
    """
    if not dropout_p or query.device.type != "cpu":
        return nn.functional.scaled_dot_product_attention(query, key, value, mask, dropout_p)
    scores = (query * query.shape[-1] ** -0.5) @ key.mT
    if mask is not None:
        lowest = torch.finfo(scores.dtype).min
        scores = scores + torch.zeros(mask.shape, dtype=scores.dtype).masked_fill(~mask, lowest)
    return dropout(scores.softmax(-1), dropout_p) @ value
