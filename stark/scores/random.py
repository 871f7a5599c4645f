"""Random: ranks units in random order, the baseline of all scores."""

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
        seed: Seed of the random values.
    """

    def __init__(self, seed: int = 0) -> None:
        """Keep the seed."""
        self.seed = seed

    def values(self, model: PreTrainedModel, scores: UnitScores) -> UnitValues:
        """Draw the values.

        Args:
            model: The model whose units are ranked.
            scores: Not used.

        Returns:
            The values.
        """
        generator = torch.Generator().manual_seed(self.seed)
        layers = encoder_layers(model)
        heads = [torch.rand(layer.num_heads, generator=generator) for layer in layers]
        return UnitValues(heads, [torch.rand(layer.num_neurons, generator=generator) for layer in layers])
