"""A tiny random encoder and its tokenizer, for the demo and for experiments."""

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
    """Write the folder of a randomly initialised BERT encoder with 4 layers of 4 heads each.

    It has so few neurons that a pruned student loses neurons that the sample tasks need, but can learn them again.

    `load_classifier` adds a new classifier to it. The global random state is not changed.

    Args:
        directory: Folder to write.
        vocabulary: Words that become one token each; other words are split into the characters that occur in these.
        hidden_size: Hidden size, a multiple of 4.
        intermediate_size: Number of FFN neurons of each layer.
        seed: Seed of the random weights.

    Returns:
        The folder.

    Raises:
        StarkError: If ``hidden_size`` is not a positive multiple of 4, or something else has the folder's name.
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
