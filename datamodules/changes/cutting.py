"""A change of rows: a span of each text is kept."""

from __future__ import annotations

import random

from datamodules.changes.row import Row, Vocabulary

__all__ = ["cut_span"]

_LEAST = 0.5


def cut_span(row: Row, other: Row, vocabulary: Vocabulary, draw: random.Random) -> tuple[list[int], ...]:
    """Keep a span of at least half of the words of each text, at a random place.

    Source: n-gram sampling of Tang et al., 2019, "Distilling Task-Specific Knowledge from BERT into Simple Neural
    Networks", with longer spans.

    Args:
        row: The row.
        other: Not used.
        vocabulary: Knows which tokens are one word.
        draw: Source of random numbers.

    Examples:
        >>> row = Row(([5, 6, 7, 8],), (2, None, 3), ())
        >>> cut_span(row, row, Vocabulary(frozenset({2, 3}), frozenset({6})), random.Random(3))
        ([5, 6, 7],)
    """
    changed = []
    for text in row.texts:
        words = vocabulary.words(text)
        size = max(1, round(draw.uniform(_LEAST, 1) * len(words)))
        start = draw.randint(0, len(words) - size)
        changed.append([token for word in words[start : start + size] for token in word])
    return tuple(changed)
