"""DistilBERT: BERT's layers under other names."""

from stark.encoders.family import EncoderFamily

__all__ = ["DISTILBERT"]

DISTILBERT = EncoderFamily(
    "distilbert",
    layers_path="transformer.layer",
    attention="attention",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention_output="attention.out_lin",
    attention_norm="sa_layer_norm",
    ffn_in="ffn.lin1",
    ffn_out="ffn.lin2",
    num_heads_attribute="n_heads",
    heads_width_attribute=None,
)
