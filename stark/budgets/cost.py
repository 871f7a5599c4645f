"""The interface of budgets that add up a cost of units, such as their parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from transformers import PreTrainedModel

from stark.budgets.budget import Budget
from stark.budgets.checks import check_sparsity
from stark.budgets.sparsity import masks_at_sparsity
from stark.encoders.layer_view import EncoderLayer
from stark.encoders.layers import encoder_layers, encoder_passes
from stark.encoders.units import UnitMasks, UnitValues

__all__ = ["CostBudget", "LayerCost", "UnitCostBudget", "UnitCosts"]


class LayerCost(Protocol):
    """What a layer costs with a number of heads and a number of neurons, in any unit; more never cost less."""

    def __call__(self, heads: int, neurons: int, /) -> float:
        """The cost."""


class CostBudget(Budget):
    """A budget whose sparsity is a fraction of the cost of all units together.

    Heads and neurons lose the same fraction, over all layers together, as with `Units`: the smallest one that removes
    enough. Units with the lowest value per cost are not chosen, because values of heads and of neurons are normalised
    separately: a head of MiniLM costs as much as 64 neurons, so that all heads would go first.
    """

    @abstractmethod
    def layer_costs(self, model: PreTrainedModel) -> Sequence[LayerCost]:
        """What each layer costs.

        Args:
            model: The model.

        Returns:
            A function for each layer.
        """

    def masks(self, values: UnitValues, model: PreTrainedModel, sparsity: float) -> UnitMasks:
        """Keep the heads and the neurons with the highest values.

        Args:
            values: Values by which the units are ranked.
            model: The model.
            sparsity: The fraction of the cost to remove, in [0, 1).

        Returns:
            Boolean masks; True keeps. What is kept costs at most the fraction that the sparsity leaves.

        Raises:
            StarkError: If the sparsity lies outside [0, 1).
        """
        costs = self.layer_costs(model)
        allowed = (1 - check_sparsity(sparsity)) * _cost(_kept(values, 0, 1), costs)
        # Each step more removes at least as much, so that the first step that suffices is found by bisection.
        steps = max(sum(value.numel() for value in kind) for kind in values)
        low, high = 0, steps
        while low < high:
            middle = (low + high) // 2
            if _cost(_kept(values, middle, steps), costs) <= allowed:
                high = middle
            else:
                low = middle + 1
        return _kept(values, low, steps)


def _kept(values: UnitValues, step: int, steps: int) -> UnitMasks:
    """Masks that remove a fraction of the heads and of the neurons."""
    if step == steps:
        return UnitMasks(*([value.new_zeros(value.shape).bool() for value in kind] for kind in values))
    return UnitMasks(*(masks_at_sparsity(kind, step / steps) for kind in values))


def _cost(masks: UnitMasks, costs: Sequence[LayerCost]) -> float:
    return sum(
        cost(int(heads.sum()), int(neurons.sum()))
        for heads, neurons, cost in zip(masks.heads, masks.neurons, costs, strict=True)
    )


class UnitCosts(NamedTuple):
    """What the units of a layer cost, in any unit.

    Args:
        head: Cost of a head.
        neuron: Cost of a neuron.

    Examples:
        >>> UnitCosts(head=64.0, neuron=1.0)(2, 100)
        228.0
    """

    head: float
    neuron: float

    def __call__(self, heads: int, neurons: int) -> float:
        """The cost of a layer with these numbers of heads and neurons."""
        return heads * self.head + neurons * self.neuron


class UnitCostBudget(CostBudget):
    """A budget whose units of a layer all cost the same."""

    #: Whether a layer whose weights serve several passes costs once for each of them.
    each_pass: bool = False

    @abstractmethod
    def unit_costs(self, layer: EncoderLayer) -> UnitCosts:
        """The cost of a head and of a neuron of a layer.

        Args:
            layer: The layer.

        Returns:
            The costs.
        """

    def layer_costs(self, model: PreTrainedModel) -> Sequence[LayerCost]:
        """What each layer costs.

        Args:
            model: The model; only its sizes are read.

        Returns:
            A function for each layer.
        """
        layers, passes = encoder_layers(model), [layer.module for layer in encoder_passes(model)]
        times = [passes.count(layer.module) if self.each_pass else 1 for layer in layers]
        costs = [self.unit_costs(layer) for layer in layers]
        return [UnitCosts(cost.head * number, cost.neuron * number) for cost, number in zip(costs, times, strict=True)]
