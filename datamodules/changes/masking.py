"""A change of rows: words are masked, and a masked language model fills their places."""

from __future__ import annotations

import random

from datamodules.changes.row import MASKED, Row, Vocabulary, choose_some

__all__ = ["mask_words"]

_SHARE = 0.15


def mask_words(row: Row, other: Row, vocabulary: Vocabulary, draw: random.Random) -> tuple[list[int], ...]:
    """Mask each word with a probability of 0.15, at least one: each of its tokens becomes `MASKED`.

    `fill_masked` then puts tokens into these places.

    Source: the data augmentation of Jiao et al., 2020, "TinyBERT: Distilling BERT for Natural Language Understanding",
    which masks one word after the other with a probability of 0.4, and draws one of the model's 15 most probable tokens
    uniformly; words of several tokens are replaced by neighbours of their GloVe vectors instead.

    Args:
        row: The row.
        other: Not used.
        vocabulary: Knows which tokens are one word.
        draw: Source of random numbers.

    Examples:
        >>> row = Row(([5, 6, 7, 8],), (2, None, 3), ())
        >>> mask_words(row, row, Vocabulary(frozenset({2, 3}), frozenset({6})), random.Random(1))
        ([-1, -1, 7, 8],)
    """
    words = [vocabulary.words(text) for text in row.texts]
    chosen = choose_some([len(text) for text in words], _SHARE, draw)
    return tuple(
        [token for word, masks in zip(text, places, strict=True) for token in ([MASKED] * len(word) if masks else word)]
        for text, places in zip(words, chosen, strict=True)
    )
