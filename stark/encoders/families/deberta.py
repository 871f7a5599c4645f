"""DeBERTa-v2 and DeBERTa-v3: BERT's layers with further linears of each head, for the relative positions of tokens."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import cast

from torch import nn

from stark.encoders.family import EncoderFamily
from stark.encoders.layer_view import EncoderLayer, UnitLinear

__all__ = ["DEBERTA_V2"]


@dataclass(frozen=True)
class _DebertaFamily(EncoderFamily):
    def view(self, layer: nn.Module) -> EncoderLayer:
        view, attention = super().view(layer), layer.get_submodule(self.attention)
        # Models that share these linears with content (share_att_key) have none of their own.
        own = [getattr(attention, name) for name in ("pos_key_proj", "pos_query_proj") if hasattr(attention, name)]
        further = tuple(UnitLinear(cast(nn.Linear, linear)) for linear in own)
        return dataclasses.replace(view, into_heads=view.into_heads + further)


DEBERTA_V2 = _DebertaFamily(
    "deberta-v2",
    query="attention.self.query_proj",
    key="attention.self.key_proj",
    value="attention.self.value_proj",
    lean_last_layer=False,
    scores_from_projections=False,
)
