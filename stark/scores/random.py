"""Random: units in an order that is drawn, the baseline of all scores."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from stark.encoders.layers import encoder_layers
from stark.encoders.units import UnitValues
from stark.scores.score import Score
from stark.scores.unit_scores import UnitScores

__all__ = ["Random"]


class Random(Score):
    """Values drawn from the uniform distribution.

    Args:
        seed: What they are drawn by.
    """

    def __init__(self, seed: int = 0) -> None:
        """Keep the seed."""
        self.seed = seed

    def values(self, model: PreTrainedModel, scores: UnitScores) -> UnitValues:
        """Draw.

        Args:
            model: The model whose units are ranked.
            scores: Not looked at.

        Returns:
            The values.
        """
        generator = torch.Generator().manual_seed(self.seed)
        layers = encoder_layers(model)
        heads = [torch.rand(layer.num_heads, generator=generator) for layer in layers]
        return UnitValues(heads, [torch.rand(layer.num_neurons, generator=generator) for layer in layers])
