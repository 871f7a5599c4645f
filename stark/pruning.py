"""Pruning: a student from its teacher by one sparsity."""

from __future__ import annotations

from transformers import PreTrainedModel

from stark.budgets.sparsity import masks_at_sparsity
from stark.encoders.cutting import shrink_
from stark.encoders.units import UnitMasks
from stark.scores.expressiveness import EXPRESSIVENESS
from stark.scores.unit_scores import UnitScores

__all__ = ["prune"]


def prune(model: PreTrainedModel, scores: UnitScores, sparsity: float, round_to: int = 8) -> PreTrainedModel:
    """Remove the least expressive heads and, separately, neurons of a model for good.

    Args:
        model: The model that was scored; it is changed.
        scores: Its scores.
        sparsity: Fraction of the heads and of the neurons to remove, over all layers.
        round_to: Keep a multiple of this many neurons in each layer.

    Returns:
        The shrunk model.
    """
    heads, neurons = scores.normalized(EXPRESSIVENESS)
    return shrink_(model, UnitMasks(masks_at_sparsity(heads, sparsity), masks_at_sparsity(neurons, sparsity, round_to)))
