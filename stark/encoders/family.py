"""What a family of encoders is: where it keeps the parts of a layer."""

from dataclasses import dataclass

__all__ = ["SHRUNK_PREFIX", "EncoderAdapter"]


SHRUNK_PREFIX = "stark-"
"""A shrunk model's ``config.model_type`` is this followed by its family's."""


@dataclass(frozen=True)
class EncoderAdapter:
    """Where a family keeps the parts of a layer; the defaults are BERT's.

    The configuration and model classes are the ones that transformers lists for the family's model type.

    Args:
        layers: Path of the list of layers under ``model.base_model``.
        attention: Path of the self-attention module inside a layer. It has ``attention_head_size``.
        query: Path of the query projection inside a layer; so are ``key`` and ``value``, ``attention_output`` (behind
            the heads), ``ffn_in`` and ``ffn_out`` (in front of and behind the neurons).
        attention_norm: Path of the LayerNorm of attention and residual inside a layer.
        num_heads_attribute: Attribute of the attention module that counts its heads.
        heads_width_attribute: Attribute of the attention module for the width of all heads, None if it has none.
        positions_after_padding: Whether positions are counted from behind the padding token's id, as RoBERTa does.
    """

    layers: str = "encoder.layer"
    attention: str = "attention.self"
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attention_output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    ffn_in: str = "intermediate.dense"
    ffn_out: str = "output.dense"
    num_heads_attribute: str = "num_attention_heads"
    heads_width_attribute: str | None = "all_head_size"
    positions_after_padding: bool = False
