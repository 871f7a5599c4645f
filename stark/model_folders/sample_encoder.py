"""A tiny random encoder with a tokenizer of its own, for the demo and for trying things out."""

from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import BertConfig, BertModel, BertTokenizer

from stark.errors import StarkError
from stark.model_folders.model_folder import save_classifier

__all__ = ["save_sample_encoder"]

_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def save_sample_encoder(
    directory: str | Path,
    vocabulary: Iterable[str],
    *,
    hidden_size: int = 128,
    intermediate_size: int = 64,
    seed: int = 0,
) -> Path:
    """Write the folder of a randomly initialised BERT encoder of 4 layers of 4 heads.

    Its neurons are so few that a small student has to lose what the sample tasks need, and can learn it again.

    `load_classifier` puts a new classifier on it. The global random state is left alone.

    Args:
        directory: The folder to make.
        vocabulary: Words to have as one token each; others are spelled by the characters that occur in these.
        hidden_size: Width, a multiple of 4.
        intermediate_size: FFN neurons of each layer.
        seed: Same seed, same weights.

    Returns:
        The folder.

    Raises:
        StarkError: If ``hidden_size`` is not a positive multiple of 4, or the name is taken by something else.
    """
    if hidden_size < 4 or hidden_size % 4:
        raise StarkError(f"hidden_size must be a positive multiple of 4, got {hidden_size}")
    words = sorted({word.lower() for word in vocabulary})
    characters = sorted(set("".join(words)))
    tokens = dict.fromkeys([*_SPECIAL_TOKENS, *characters, *(f"##{character}" for character in characters), *words])
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate(tokens)}, model_max_length=128)
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=hidden_size,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=intermediate_size,
        max_position_embeddings=128,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = BertModel(config)
    return save_classifier(encoder, directory, tokenizer)
