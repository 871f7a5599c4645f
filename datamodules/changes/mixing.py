"""A change of rows: halves of two rows are put together."""

from __future__ import annotations

import random

from datamodules.changes.row import Row, Vocabulary

__all__ = ["mix_halves"]


def mix_halves(row: Row, other: Row, vocabulary: Vocabulary, draw: random.Random) -> tuple[list[int], ...]:
    """Give a pair the second text of another one; a single text the second half of another one's words.

    Args:
        row: The row.
        other: The row that the second half comes from.
        vocabulary: Knows which tokens are one word.
        draw: Not used.

    Examples:
        >>> row, other = (Row((text,), (2, None, 3), ()) for text in ([5, 6, 7], [8, 9]))
        >>> mix_halves(row, other, Vocabulary(frozenset({2, 3}), frozenset()), random.Random(0))
        ([5, 6, 9],)
    """
    if len(row.texts) > 1:
        return (*row.texts[:-1], other.texts[-1])
    first, second = (vocabulary.words(one.texts[0]) for one in (row, other))
    words = [*first[: (len(first) + 1) // 2], *second[len(second) // 2 :]]
    return ([token for word in words for token in word],)
