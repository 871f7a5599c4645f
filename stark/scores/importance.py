"""Importance of heads and neurons from the gradients of their masks: accumulate and normalise.

Suffixes: B examples of a batch, L layers, U units (heads or neurons) of a layer. Layers may differ in their number of
units, so scores are lists with one tensor of shape ``(U,)`` per layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

__all__ = ["UnitReduction", "batch_importance", "normalize_per_layer"]


UnitReduction = Literal["example", "batch", "signed", "squared"]
"""A `ScoreReduction`, or one that belongs to a single score."""

_EPSILON = 1e-7  # GeneZC/StarK run_pruning.py: score / (norm + 1e-7)


def batch_importance(grad_BU: Tensor, reduction: UnitReduction = "example") -> Tensor:
    r"""One batch's part of the importance of a layer's units, from the gradients of their masks.

    ``example``: $\sum_b |g_b|$, where $g_b$ is the gradient of example b's own loss; independent of batch
    size, order and padding. ``batch``: $|\frac{1}{B}\sum_b g_b|$, the absolute gradient of the batch-mean loss,
    as in the released code. ``signed``: $-\sum_b g_b$, to first order how much the sum of the losses grows if the
    unit is removed; negative if the sum becomes smaller. A unit's importance is the sum of these parts over the
    batches. ``squared``: $\sum_b g_b^2$, the diagonal of the empirical Fisher information.

    Source: the paper's equations of expressiveness and friendliness; GeneZC/StarK `run_pruning.py`,
    `run_sparsification.py` (``batch``). Deviation: ``example`` is our default.

    Args:
        grad_BU: Gradients of the *sum* of the examples' losses with respect to a mask per example, ``(B, U)``.
        reduction: Way in which gradients become importance, see above.

    Returns:
        The batch's part, float64, shape ``(U,)``.

    Examples:
        >>> gradients = torch.tensor([[1.0, 2.0], [-1.0, 2.0]])
        >>> batch_importance(gradients)
        tensor([2., 4.], dtype=torch.float64)
        >>> batch_importance(gradients, "batch")
        tensor([0., 2.], dtype=torch.float64)
    """
    grad_BU = grad_BU.to(torch.float64)
    if reduction == "signed":
        return -grad_BU.sum(0)
    if reduction == "squared":
        return grad_BU.square().sum(0)
    return grad_BU.abs().sum(0) if reduction == "example" else grad_BU.mean(0).abs()


def normalize_per_layer(scores: Sequence[Tensor]) -> list[Tensor]:
    r"""Divide each layer's scores by their L2 norm: $s / (\lVert s \rVert_2 + 10^{-7})$.

    Source: GeneZC/StarK `run_pruning.py`, `run_sparsification.py`.

    Args:
        scores: One tensor ``(U,)`` per layer.

    Returns:
        Scores of the same shapes, each of norm 1 (or near 0 if the raw scores are near 0).

    Examples:
        >>> normalize_per_layer([torch.tensor([3.0, 4.0])])
        [tensor([0.6000, 0.8000])]
    """
    return [score / (torch.linalg.vector_norm(score) + _EPSILON) for score in scores]
