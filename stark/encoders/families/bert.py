"""BERT, and families that are built like it."""

from stark.encoders.family import EncoderFamily

__all__ = ["BERT", "ELECTRA", "ERNIE"]

BERT = EncoderFamily("bert")
ELECTRA = EncoderFamily("electra")
ERNIE = EncoderFamily("ernie")
