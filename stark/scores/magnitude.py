"""Magnitude: the size of a unit's weights."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from stark.encoders.layers import encoder_layers
from stark.encoders.units import UnitValues
from stark.scores.importance import normalize_per_layer
from stark.scores.score import Score
from stark.scores.unit_scores import UnitScores

__all__ = ["Magnitude", "magnitudes"]


class Magnitude(Score):
    """The size of a unit's weights: `magnitudes`, each layer divided by its norm. It needs no data."""

    def values(self, model: PreTrainedModel, scores: UnitScores) -> UnitValues:
        """The norms.

        Args:
            model: The model whose units are ranked.
            scores: Not used.

        Returns:
            The values.
        """
        heads, neurons = magnitudes(model)
        return UnitValues(normalize_per_layer(heads), normalize_per_layer(neurons))


def magnitudes(model: PreTrainedModel) -> UnitValues:
    r"""The L2 norm of each unit's weights, without biases.

    A head's weights are its rows of query, key and value and its columns of the attention output. A neuron's weights
    are its row of the linear before the neurons and its column of the linear after them. Families with further linears
    for heads or neurons have them, too: `EncoderLayer.head_weights`, `EncoderLayer.neuron_weights`.

    Args:
        model: A classifier.

    Returns:
        The norms.
    """
    layers = encoder_layers(model)
    return UnitValues(
        [_norms(layer.head_weights()) for layer in layers], [_norms(layer.neuron_weights()) for layer in layers]
    )


def _norms(weights: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(weights.double(), dim=-1)
    return norms
