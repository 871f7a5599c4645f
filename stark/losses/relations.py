"""Relations of a row's tokens: distributions over the tokens, from scaled dot products."""

from __future__ import annotations

import torch
from torch import Tensor

from stark.losses.tokens import token_means

__all__ = ["log_relations", "relation_divergences", "scaled_products"]


def scaled_products(first: Tensor, second: Tensor) -> Tensor:
    r"""Dot products of all pairs of tokens, $a_i \cdot b_j / \sqrt{d}$.

    Args:
        first: a, ``(batch, heads, length, d)``.
        second: b, of the same shape.

    Returns:
        Shape ``(batch, heads, length, length)``, in float32 or a wider type.

    Examples:
        >>> scaled_products(torch.ones(1, 1, 1, 4), torch.ones(1, 1, 1, 4)).item()
        2.0
    """
    products: Tensor = first @ second.mT / first.shape[-1] ** 0.5
    return products.to(torch.promote_types(products.dtype, torch.float32))


def log_relations(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """Logarithms of the softmax of `scaled_products` over the real tokens.

    Args:
        first: Shape ``(batch, heads, length, d)``.
        second: Of the same shape.
        mask: ``attention_mask``, ``(batch, length)``.

    Returns:
        Shape ``(batch, heads, length, length)``; a large negative number where the second token is padding.

    Examples:
        >>> log_relations(torch.ones(1, 1, 2, 4), torch.ones(1, 1, 2, 4), torch.tensor([[1, 1]])).exp()[0, 0, 0]
        tensor([0.5000, 0.5000])
    """
    products = scaled_products(first, second)
    # The lowest number instead of minus infinity, whose differences are not numbers.
    padding = mask[:, None, None, :] == 0
    return products.masked_fill(padding, torch.finfo(products.dtype).min / 4).log_softmax(-1)


def relation_divergences(*, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Kullback-Leibler divergences of the student's relations from the teacher's.

    Args:
        student: From `log_relations`, ``(batch, heads, length, length)``.
        teacher: Of the same shape.
        mask: ``attention_mask``, ``(batch, length)``.

    Returns:
        The mean over heads and real tokens of each row, ``(batch,)``.

    Examples:
        >>> alike = torch.full((1, 1, 2, 2), 0.5).log()
        >>> relation_divergences(student=alike, teacher=alike, mask=torch.tensor([[1, 1]]))
        tensor([0.])
    """
    return token_means((teacher.exp() * (teacher - student)).sum(-1).mean(1), mask)
