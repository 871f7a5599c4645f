"""Pruning: from scores to the units that are kept, for both student and teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from stark.budgets.budget import Budget, Units
from stark.budgets.sparsity import round_masks
from stark.encoders.cutting import shrink_
from stark.encoders.layers import kept_units
from stark.encoders.units import UnitMasks, UnitValues
from stark.scores.score import Score
from stark.scores.unit_scores import UnitScores

__all__ = ["choose_units", "prune_"]


def choose_units(
    model: PreTrainedModel,
    score: Score,
    scores: UnitScores,
    sparsity: float,
    budget: Budget | None = None,
    round_to: int = 1,
    original: PreTrainedModel | None = None,
) -> UnitMasks:
    """Choose the units of a model to keep: those with the highest scores, within a budget.

    Args:
        model: The model that was scored.
        score: The score.
        scores: The score's parts, from `score_units`.
        sparsity: Fraction to remove, of what the budget counts.
        budget: The budget; None means `Units`.
        round_to: Number of which each layer's kept neurons are a multiple.
        original: The model that the sparsity is a fraction of, if the scored one is what is left of it after earlier
            cuts; only its sizes are read. The removed units have the value minus infinity for the budget. None for the
            scored model.

    Returns:
        Boolean masks over the units that the scored model has; True keeps.
    """
    values, left = score.values(model, scores), None
    if original is not None:
        left = kept_units(model).masks_within(kept_units(original))
        values = UnitValues(_spread(values.heads, left.heads), _spread(values.neurons, left.neurons))
    heads, neurons = (budget or Units()).masks(values, original or model, sparsity)
    chosen = UnitMasks(heads, round_masks(neurons, values.neurons, round_to))
    return (
        chosen if left is None else UnitMasks(_within(chosen.heads, left.heads), _within(chosen.neurons, left.neurons))
    )


def _spread(values: Sequence[Tensor], left: Sequence[Tensor]) -> list[Tensor]:
    """The values over all units of the original model, whose units ``left`` are True."""
    return [
        torch.full(mask.shape, -torch.inf, dtype=value.dtype).masked_scatter(mask, value)
        for value, mask in zip(values, left, strict=True)
    ]


def _within(masks: Sequence[Tensor], left: Sequence[Tensor]) -> list[Tensor]:
    return [mask[there] for mask, there in zip(masks, left, strict=True)]


def prune_(
    model: PreTrainedModel,
    score: Score,
    scores: UnitScores,
    sparsity: float,
    budget: Budget | None = None,
    round_to: int = 8,
) -> PreTrainedModel:
    """Remove the units with the lowest scores from a model.

    Args:
        model: The model that was scored; it is changed.
        score: The score.
        scores: The score's parts, from `score_units`.
        sparsity: Fraction to remove, of what the budget counts.
        budget: The budget; None means `Units`.
        round_to: Number of which each layer's kept neurons are a multiple.

    Returns:
        The shrunk model.
    """
    return shrink_(model, choose_units(model, score, scores, sparsity, budget, round_to))
