"""Magnitude: the size of a unit's weights."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from stark.encoders.family import EncoderLayer
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
    are its row of the linear before the neurons and its column of the linear after them.

    Args:
        model: A classifier.

    Returns:
        The norms.
    """
    layers = encoder_layers(model)
    return UnitValues([_head_norms(layer) for layer in layers], [_neuron_norms(layer) for layer in layers])


def _head_norms(layer: EncoderLayer) -> Tensor:
    inside = [linear.weight.detach() for linear in (layer.query, layer.key, layer.value)]
    weights = torch.cat([*inside, layer.attention_output.weight.detach().T], dim=1).double()
    norms: Tensor = torch.linalg.vector_norm(weights.view(layer.num_heads, -1), dim=-1)
    return norms


def _neuron_norms(layer: EncoderLayer) -> Tensor:
    weights = torch.cat([layer.ffn_in.weight.detach(), layer.ffn_out.weight.detach().T], dim=1).double()
    norms: Tensor = torch.linalg.vector_norm(weights, dim=-1)
    return norms
