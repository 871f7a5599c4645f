"""Parameters: the budget that counts the weights of the encoder's layers."""

from __future__ import annotations

from stark.budgets.cost import UnitCostBudget, UnitCosts
from stark.encoders.layer_view import EncoderLayer

__all__ = ["Parameters"]


class Parameters(UnitCostBudget):
    """Counts parameters of units: the sparsity is a fraction of the weights and biases that belong to heads or neurons.

    Embeddings, LayerNorms and the biases after heads and neurons are not removed, and do not count.

    Examples:
        ```yaml
        student: {sparsity: 0.7, budget: stark.Parameters}
        ```
    """

    def unit_costs(self, layer: EncoderLayer) -> UnitCosts:
        """Numbers of parameters.

        Args:
            layer: The layer.

        Returns:
            Parameters of a head, and of a neuron.
        """
        inside, before = (
            sum(one.blocks * (one.linear.in_features + (one.linear.bias is not None)) for one in linears)
            for linears in (layer.into_heads, layer.into_neurons)
        )
        head = layer.head_size * (inside + layer.attention_output.out_features)
        return UnitCosts(head, before + layer.ffn_out.out_features)
