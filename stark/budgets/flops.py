"""FLOPs: the budget that counts the operations of the encoder's layers."""

from __future__ import annotations

from stark.budgets.cost import UnitCostBudget, UnitCosts
from stark.encoders.layer_view import EncoderLayer
from stark.errors import StarkError

__all__ = ["FLOPs"]


class FLOPs(UnitCostBudget):
    r"""Counts floating point operations of units: the sparsity is a fraction of those of the matrix products.

    With hidden size $d$, head size $s$ and $n$ tokens, each token costs $2 (4 d s + 2 n s)$ operations per head and
    $2 \cdot 2 d$ per neuron. All layers count for all tokens, and a layer whose weights serve
    several passes counts once for each of them.

    Args:
        length: Number of tokens of a row. Attention costs more in longer rows.

    Raises:
        StarkError: If the length is below 1.

    Examples:
        ```yaml
        student: {sparsity: 0.8, budget: {class_path: stark.FLOPs, init_args: {length: 64}}}
        ```
    """

    each_pass = True

    def __init__(self, length: int = 128) -> None:
        """Check the length."""
        if length < 1:
            raise StarkError(f"length is {length}: give the number of tokens of a row, at least 1")
        self.length = length

    def unit_costs(self, layer: EncoderLayer) -> UnitCosts:
        """Operations per token.

        Args:
            layer: The layer.

        Returns:
            Operations of a head, and of a neuron.
        """
        inside, before = (
            sum(one.blocks * one.linear.in_features for one in linears)
            for linears in (layer.into_heads, layer.into_neurons)
        )
        head = 2 * layer.head_size * (inside + layer.attention_output.out_features + 2 * self.length)
        return UnitCosts(head, 2 * (before + layer.ffn_out.out_features))
