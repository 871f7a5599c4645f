"""RoBERTa, and families that are built like it: like BERT, except for the numbering of positions."""

from stark.encoders.family import EncoderFamily

__all__ = ["CAMEMBERT", "DATA2VEC_TEXT", "ROBERTA", "ROBERTA_PRELAYERNORM", "XLM_ROBERTA"]

ROBERTA = EncoderFamily("roberta", positions_after_padding=True)
XLM_ROBERTA = EncoderFamily("xlm-roberta", positions_after_padding=True)
CAMEMBERT = EncoderFamily("camembert", positions_after_padding=True)
DATA2VEC_TEXT = EncoderFamily("data2vec-text", positions_after_padding=True)
ROBERTA_PRELAYERNORM = EncoderFamily(
    "roberta-prelayernorm", attention_norm="intermediate.LayerNorm", pre_norm=True, positions_after_padding=True
)
