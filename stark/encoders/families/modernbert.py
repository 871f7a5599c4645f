"""ModernBERT: one linear for query, key and value, gated neurons, norms before the blocks, rotary positions."""

from stark.encoders.family import EncoderFamily

__all__ = ["MODERNBERT"]

MODERNBERT = EncoderFamily(
    "modernbert",
    layers_path="layers",
    attention="attn",
    query="attn.Wqkv",
    key="attn.Wqkv",
    value="attn.Wqkv",
    attention_output="attn.Wo",
    attention_norm="mlp_norm",
    ffn_in="mlp.Wi",
    ffn_out="mlp.Wo",
    gated=True,
    pre_norm=True,
    head_size_attribute="head_dim",
    num_heads_attribute=None,
    heads_width_attribute=None,
    lean_last_layer=False,
    scores_from_projections=False,
    first_layer_differs=True,
)
