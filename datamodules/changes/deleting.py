"""A change of rows: words are deleted."""

from __future__ import annotations

import random

from datamodules.changes.row import Row, Vocabulary

__all__ = ["delete_words"]

_SHARE = 0.2


def delete_words(row: Row, other: Row, vocabulary: Vocabulary, draw: random.Random) -> tuple[list[int], ...]:
    """Delete each word with a probability of 0.2; each text keeps at least one.

    Source: random deletion of Wei and Zou, 2019, "EDA: Easy Data Augmentation Techniques for Boosting Performance on
    Text Classification Tasks".

    Args:
        row: The row.
        other: Not used.
        vocabulary: Knows which tokens are one word.
        draw: Source of random numbers.

    Examples:
        >>> row = Row(([5, 6, 7, 8],), (2, None, 3), ())
        >>> [text] = delete_words(row, row, Vocabulary(frozenset({2, 3}), frozenset({6})), random.Random(0))
        >>> len(text) <= 4, (5 in text) == (6 in text)
        (True, True)
    """
    changed = []
    for text in row.texts:
        words = vocabulary.words(text)
        kept = [word for word in words if draw.random() >= _SHARE] or [draw.choice(words)]
        changed.append([token for word in kept for token in word])
    return tuple(changed)
