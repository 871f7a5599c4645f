"""Wanda: the size of a unit's weights times the size of what it computes."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import PreTrainedModel

from stark.encoders.units import UnitValues
from stark.scores.importance import normalize_per_layer
from stark.scores.score import ActivationScore
from stark.scores.unit_scores import UnitScores

__all__ = ["Wanda"]


class Wanda(ActivationScore):
    r"""Activation times weight norm: $\sqrt{\sum_{t} \sum_{j} x_{tj}^2 \lVert W_{:j} \rVert^2}$.

    The inputs $j$ of an output projection $W$ are those of the unit, and $x_{tj}$ is the input for token $t$. For a
    neuron this is the norm, over all tokens, of what it adds to the hidden states. It needs no labels and no backward
    pass.

    Source: Sun et al., 2024, "A Simple and Effective Pruning Approach for Large Language Models", whose score of a
    weight is $|W_{ij}| \lVert X_j \rVert$. Deviation: the scores of all weights that a unit loses in its output
    projection are joined by their norm.
    """

    def importances(self, inputs: Tensor, output: nn.Linear) -> Tensor:
        """The squared norms.

        Args:
            inputs: Inputs of the tokens, ``(tokens, in_features)``.
            output: The output projection.

        Returns:
            Shape ``(in_features,)``.
        """
        return inputs.square().sum(0) * output.weight.detach().to(inputs).square().sum(0)

    def values(self, model: PreTrainedModel, scores: UnitScores) -> UnitValues:
        """The square roots of the sums, each layer divided by its norm.

        Args:
            model: Not used.
            scores: Scores that include this one.

        Returns:
            The values.
        """
        heads, neurons = scores.heads[self.name], scores.neurons[self.name]
        return UnitValues(*(normalize_per_layer([layer.sqrt() for layer in kind]) for kind in (heads, neurons)))
