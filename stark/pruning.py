"""Pruning: from scores to the units that are kept, for both student and teacher."""

from __future__ import annotations

from transformers import PreTrainedModel

from stark.budgets.budget import Budget, Units
from stark.budgets.sparsity import round_masks
from stark.encoders.cutting import shrink_
from stark.encoders.units import UnitMasks
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
) -> UnitMasks:
    """Choose the units of a model to keep: those with the highest scores, within a budget.

    Args:
        model: The model that was scored.
        score: The score.
        scores: The score's parts, from `score_units`.
        sparsity: Fraction to remove, of what the budget counts.
        budget: The budget; None means `Units`.
        round_to: Number of which each layer's kept neurons are a multiple.

    Returns:
        Boolean masks; True keeps.
    """
    values = score.values(model, scores)
    heads, neurons = (budget or Units()).masks(values, model, sparsity)
    return UnitMasks(heads, round_masks(neurons, values.neurons, round_to))


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
