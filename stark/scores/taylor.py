"""Taylor scores: how much the loss over all rows changes if a unit is removed, to first order."""

from __future__ import annotations

from transformers import PreTrainedModel

from stark.encoders.units import UnitValues
from stark.scores.expressiveness import Expressiveness
from stark.scores.importance import normalize_per_layer
from stark.scores.unit_scores import UnitScores

__all__ = ["SignedExpressiveness", "Taylor"]


class SignedExpressiveness(Expressiveness):
    r"""$-\sum_b \partial L_b / \partial m$: how much the task loss over all rows grows if the unit is removed.

    To first order; it is negative for units without which the loss would be smaller, and these are removed first.
    """

    reduction = "signed"


class Taylor(Expressiveness):
    r"""$|\sum_b \partial L_b / \partial m|$: how much the task loss over all rows changes if the unit is removed.

    To first order. Gradients of different examples may cancel, unlike those of `Expressiveness`. The sum is over all
    rows, so that it does not depend on the size of a batch.

    Source: Molchanov et al., 2019, "Importance Estimation for Neural Network Pruning", equation 8 for a mask, without
    the square, which does not change the order of units. Deviation: all rows are one batch.
    """

    reduction = "signed"

    def values(self, model: PreTrainedModel, scores: UnitScores) -> UnitValues:
        """The absolute sums, each layer divided by its norm.

        Args:
            model: Not used.
            scores: Scores that include this one.

        Returns:
            The values.
        """
        heads, neurons = scores.heads[self.name], scores.neurons[self.name]
        return UnitValues(*(normalize_per_layer([layer.abs() for layer in kind]) for kind in (heads, neurons)))
