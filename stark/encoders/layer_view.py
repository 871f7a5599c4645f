"""What the other packages see of an encoder's layer: the linears of its heads and FFN neurons, and its sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stark.encoders.linears import head_rows

__all__ = ["EncoderLayer", "UnitLinear"]


@dataclass(frozen=True)
class UnitLinear:
    """A linear whose outputs belong to heads or neurons.

    Args:
        linear: The linear.
        blocks: Number of equally large blocks of its outputs, of which each has all units in their order. A linear that
            computes query, key and value at once has three.

    Examples:
        >>> UnitLinear(nn.Linear(8, 12), blocks=3).rows(torch.tensor([1]), width=2)  # the second of two heads
        tensor([ 2,  3,  6,  7, 10, 11])
    """

    linear: nn.Linear
    blocks: int = 1

    @property
    def block_size(self) -> int:
        """Number of outputs of a block."""
        return self.linear.out_features // self.blocks

    def rows(self, units: Tensor, width: int) -> Tensor:
        """The outputs of some units.

        Args:
            units: Numbers of the units, ``(units,)``.
            width: Number of outputs of a unit in each block: the size of a head, or 1 for neurons.

        Returns:
            Numbers of the outputs, ``(blocks * units * width,)``, block by block.
        """
        inside = head_rows(units, width)
        starts = torch.arange(self.blocks, device=units.device) * self.block_size
        return (starts[:, None] + inside).flatten()

    def split(self, values: Tensor, dim: int) -> tuple[Tensor, ...]:
        """Divide a tensor with one entry per output into the blocks.

        Args:
            values: Such as the linear's weight (``dim=0``) or its output (``dim=-1``).
            dim: The dimension of the outputs.

        Returns:
            One part per block.
        """
        return values.split(self.block_size, dim) if self.block_size else (values,) * self.blocks


@dataclass(frozen=True)
class EncoderLayer:
    """The linears of one layer, and its current sizes.

    Args:
        module: The layer.
        into_heads: Linears before the heads. The first three blocks are those of query, key and value.
        attention_output: Projection after the heads.
        into_neurons: Linears before the FFN neurons.
        ffn_out: Linear after the FFN neurons.
        middle: Module whose first input is the hidden states that the FFN's output is added to.
        head_size: Width of a head.
    """

    module: nn.Module
    into_heads: tuple[UnitLinear, ...]
    attention_output: nn.Linear
    into_neurons: tuple[UnitLinear, ...]
    ffn_out: nn.Linear
    middle: nn.Module
    head_size: int

    @property
    def num_heads(self) -> int:
        """Number of heads that the layer has now."""
        return self.into_heads[0].block_size // self.head_size

    @property
    def num_neurons(self) -> int:
        """Number of FFN neurons that the layer has now."""
        return self.into_neurons[0].block_size

    def query_key_value(self, outputs: Mapping[nn.Module, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values.

        Args:
            outputs: Outputs of at least the linears `query_key_value_linears`.

        Returns:
            Each of the shape ``(batch, length, num_heads * head_size)``.
        """
        parts = (part for one in self._first_blocks() for part in one.split(outputs[one.linear], -1))
        query, key, value, *_ = parts
        return query, key, value

    def query_key_value_linears(self) -> list[nn.Linear]:
        """The linears that compute queries, keys and values: three, or one that computes all of them."""
        return [one.linear for one in self._first_blocks()]

    def head_weights(self) -> Tensor:
        """All weights of each head, without biases.

        Returns:
            Shape ``(num_heads, weights)``: rows of the linears before the heads, columns of the projection after them.
        """
        inside = [part for one in self.into_heads for part in one.split(one.linear.weight.detach(), 0)]
        rows = torch.cat([*inside, self.attention_output.weight.detach().T], dim=1)
        return rows.reshape(self.num_heads, self.head_size * rows.shape[1])

    def neuron_weights(self) -> Tensor:
        """All weights of each FFN neuron, without biases.

        Returns:
            Shape ``(num_neurons, weights)``.
        """
        inside = [part for one in self.into_neurons for part in one.split(one.linear.weight.detach(), 0)]
        return torch.cat([*inside, self.ffn_out.weight.detach().T], dim=1)

    def _first_blocks(self) -> Iterator[UnitLinear]:
        """The linears that have the first three blocks."""
        found = 0
        for one in self.into_heads:
            if found == 3:
                return
            found += one.blocks
            yield one
