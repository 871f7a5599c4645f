"""MPNet: BERT's layers under other names; all layers share a table with a bias for each head and distance of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.models.mpnet.modeling_mpnet import MPNetSelfAttention

from stark.encoders.family import EncoderFamily

__all__ = ["MPNET", "SomeHeads"]


class SomeHeads(MPNetSelfAttention):
    """Attention that lost heads: it takes the biases of the heads that it still has.

    The table of biases stays whole, because all layers share it.
    """

    kept_heads: Sequence[int]
    """Numbers of its heads in the original model."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        **kwargs: object,
    ) -> tuple[Tensor, ...]:
        """Attention of the kept heads."""
        if position_bias is not None:
            # An index would be copied to a GPU in each call, which waits for it.
            position_bias = torch.stack([position_bias[:, head] for head in self.kept_heads], 1)
        return cast(tuple[Tensor, ...], super().forward(hidden_states, attention_mask, position_bias, **kwargs))


@dataclass(frozen=True)
class _MPNetFamily(EncoderFamily):
    def cut_layer_(self, layer: nn.Module, heads: Tensor, neurons: Tensor) -> None:
        attention = layer.get_submodule(self.attention)
        if isinstance(attention, MPNetSelfAttention):
            before = cast(SomeHeads, attention)
            had = getattr(before, "kept_heads", range(attention.num_attention_heads))
            before.kept_heads = tuple(had[number] for number in heads.tolist())
            attention.__class__ = SomeHeads
        super().cut_layer_(layer, heads, neurons)

    def unused_positions(self, config: PreTrainedConfig) -> int:
        return 2  # it counts from 2, whatever the padding token's id is


MPNET = _MPNetFamily(
    "mpnet",
    attention="attention.attn",
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    attention_output="attention.attn.o",
    attention_norm="attention.LayerNorm",
    lean_last_layer=False,
    scores_from_projections=False,
)
