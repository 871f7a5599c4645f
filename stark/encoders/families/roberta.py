"""RoBERTa and XLM-RoBERTa: like BERT, except for the numbering of positions."""

from stark.encoders.family import EncoderFamily

__all__ = ["ROBERTA", "XLM_ROBERTA"]

ROBERTA = EncoderFamily("roberta", positions_after_padding=True)
XLM_ROBERTA = EncoderFamily("xlm-roberta", positions_after_padding=True)
