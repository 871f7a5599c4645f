"""ALBERT: a few layers, usually one, whose weights serve many passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.albert.modeling_albert import AlbertAttention

from stark.encoders.family import EncoderFamily
from stark.encoders.layer_view import EncoderLayer
from stark.errors import StarkError

__all__ = ["ALBERT", "AttentionWithoutHeads"]


class AttentionWithoutHeads(AlbertAttention):
    """Attention that lost all its heads: residual, output bias and norm, which in ALBERT are parts of this module."""

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs: object
    ) -> tuple[Tensor, None]:
        """What attention without heads returns."""
        # Computed although they are empty, because distributed training waits for the gradient of every parameter.
        context = self.query(hidden_states) + self.key(hidden_states) + self.value(hidden_states)
        return self.LayerNorm(hidden_states + self.output_dropout(self.dense(context))), None


@dataclass(frozen=True)
class _AlbertFamily(EncoderFamily):
    """The layers are those with weights; `passes` names them as often as they are computed."""

    def layer_list(self, model: PreTrainedModel) -> nn.ModuleList:
        groups = cast(nn.ModuleList, model.base_model.get_submodule(self.layers_path))
        return nn.ModuleList(layer for group in groups for layer in cast(nn.ModuleList, group.albert_layers))

    def passes(self, model: PreTrainedModel) -> tuple[int, ...]:
        config = model.config
        inner, groups, passes = config.inner_group_num, config.num_hidden_groups, config.num_hidden_layers
        # As in transformers, whose rounding differs from that of whole numbers.
        chosen = [int(number / (passes / groups)) for number in range(passes)]
        return tuple(group * inner + number for group in chosen for number in range(inner))

    def keep_layers_(self, model: PreTrainedModel, keep: Sequence[int]) -> None:
        # The number of passes is read from the configuration, and the passes that are left use the same weights.
        if (layers := len(self.layer_list(model))) > 1:
            raise StarkError(
                f"this {self.model_type} encoder has {layers} layers with weights, and fewer passes would "
                "change which of them each pass uses: give student.sparsity instead of student.layers"
            )

    def _count_heads_(self, layer: nn.Module, view: EncoderLayer, num_heads: int) -> None:
        attention = layer.get_submodule(self.attention)
        attention.num_attention_heads, attention.all_head_size = num_heads, num_heads * view.head_size  # type: ignore[assignment]  # plain attributes of a module
        if num_heads == 0:
            attention.__class__ = AttentionWithoutHeads


ALBERT = _AlbertFamily(
    "albert",
    layers_path="encoder.albert_layer_groups",
    attention="attention",
    query="attention.query",
    key="attention.key",
    value="attention.value",
    attention_output="attention.dense",
    attention_norm="attention.LayerNorm",
    ffn_in="ffn",
    ffn_out="ffn_output",
    lean_last_layer=False,
    shares_layers=True,
)
