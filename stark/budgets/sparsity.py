"""From scores to masks: rank the units over all layers, drop the lowest fraction.

Masks: 1 keeps, 0 drops; one boolean tensor per layer. Sparsity: the fraction of units removed, in [0, 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stark.budgets.checks import check_sparsity
from stark.errors import StarkError

__all__ = ["achieved_sparsity", "check_sparsity", "masks_at_sparsity", "rank_units", "round_masks"]


def rank_units(scores: Sequence[Tensor]) -> Tensor:
    """Rank the units of all layers together, the least important first.

    Ties are broken by layer and then by position (a stable sort), as in the released code.

    Source: GeneZC/StarK `run_pruning.py` (the sorted list of all (layer, score) pairs).

    Args:
        scores: One tensor ``(U,)`` per layer.

    Returns:
        Positions in the concatenation of all layers, int64, shape ``(sum of U,)``.

    Examples:
        >>> rank_units([torch.tensor([0.3, 0.1]), torch.tensor([0.2, 0.1])])
        tensor([1, 3, 2, 0])
    """
    return torch.argsort(torch.cat(list(scores)), stable=True)


def masks_at_sparsity(scores: Sequence[Tensor], sparsity: float, floor: float = 0.0) -> list[Tensor]:
    """Drop the lowest ``round(sparsity * units)`` units, counted over all layers together.

    Masks are nested: what a sparsity drops, every higher sparsity drops as well.

    Source: GeneZC/StarK `run_pruning.py` (`round(float(s) / 100 * total)`).

    Args:
        scores: One tensor ``(U,)`` per layer.
        sparsity: Fraction of all units to remove, in [0, 1).
        floor: Fraction of its units that each layer keeps at least, rounded up, at most ``1 - sparsity``.

    Returns:
        One boolean mask ``(U,)`` per layer.

    Raises:
        StarkError: If the sparsity lies outside [0, 1), or layers keep more than it allows.

    Examples:
        >>> masks_at_sparsity([torch.tensor([0.3, 0.1]), torch.tensor([0.2, 0.4])], 0.5)
        [tensor([ True, False]), tensor([False,  True])]
        >>> masks_at_sparsity([torch.tensor([0.4, 0.3]), torch.tensor([0.1, 0.2])], 0.5, floor=0.5)
        [tensor([ True, False]), tensor([False,  True])]
    """
    check_sparsity(sparsity)
    order = rank_units([_protected(score, floor) for score in scores] if floor else scores)
    dropped = round(sparsity * order.numel())
    least = sum(math.ceil(floor * score.numel()) for score in scores)
    if least > order.numel() - dropped:
        raise StarkError(
            f"floor is {floor:g}, by which the layers keep {least} of {order.numel()} heads or neurons, and sparsity "
            f"{sparsity:g} leaves {order.numel() - dropped}: lower one of them"
        )
    flat = torch.ones_like(order, dtype=torch.bool)
    flat[order[:dropped]] = False
    return list(flat.split([score.numel() for score in scores]))


def _protected(score: Tensor, floor: float) -> Tensor:
    """The scores of a layer, of which the highest are infinite, so that they are removed last."""
    best = torch.argsort(score, stable=True)[score.numel() - math.ceil(floor * score.numel()) :]
    return score.index_fill(0, best, torch.inf)


def round_masks(masks: Sequence[Tensor], scores: Sequence[Tensor], round_to: int) -> list[Tensor]:
    """Round the number of kept units of each layer to the nearest multiple, and keep those with the highest scores.

    This gives widths that the hardware computes faster, but changes the sparsity; see `achieved_sparsity`.

    Source: GeneZC/StarK `run_pruning.py`. Deviation: the released code rounds the *removed* count to multiples of 8
    without saying so; here each layer's *kept* count is rounded.

    Args:
        masks: One boolean mask ``(U,)`` per layer.
        scores: One tensor ``(U,)`` per layer.
        round_to: Number of which each layer's kept units are a multiple; 1 changes nothing.

    Returns:
        One boolean mask ``(U,)`` per layer.

    Raises:
        StarkError: If ``round_to`` is below 1.

    Examples:
        >>> round_masks([torch.tensor([True, False, True, True, True])], [torch.arange(5)], 3)
        [tensor([False, False,  True,  True,  True])]
    """
    if round_to < 1:
        raise StarkError(f"round_to is {round_to}: give a whole number of units, at least 1")
    if round_to == 1:
        return list(masks)
    rounded = []
    for mask, score in zip(masks, scores, strict=True):
        # Python's round is banker's rounding, as in the released code; the count never leaves [0, U].
        count = min(max(round(int(mask.sum()) / round_to) * round_to, 0), mask.numel())
        best = torch.argsort(score, stable=True).flip(0)[:count]
        rounded.append(torch.zeros_like(mask).index_fill_(0, best, True))
    return rounded


def achieved_sparsity(masks: Sequence[Tensor]) -> float:
    """Fraction of units that the masks actually remove.

    Args:
        masks: One mask ``(U,)`` per layer.

    Returns:
        A fraction in [0, 1]; 0 when there are no units.

    Examples:
        >>> achieved_sparsity([torch.tensor([True, False]), torch.tensor([True, True])])
        0.25
    """
    total = sum(mask.numel() for mask in masks)
    kept = sum(int(mask.sum()) for mask in masks)
    return (total - kept) / total if total else 0.0
