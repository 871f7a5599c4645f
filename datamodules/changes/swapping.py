"""A change of rows: tokens are replaced by tokens of another row."""

from __future__ import annotations

import random

from datamodules.changes.row import Row, Vocabulary, choose_some

__all__ = ["swap_tokens"]

_SHARE = 0.2


def swap_tokens(row: Row, other: Row, vocabulary: Vocabulary, draw: random.Random) -> tuple[list[int], ...]:
    """Replace each token with a probability of 0.2, at least one, by a random token of the other row.

    Args:
        row: The row.
        other: The row that the new tokens come from.
        vocabulary: Not used.
        draw: Source of random numbers.

    Examples:
        >>> row, other = (Row((text,), (2, None, 3), ()) for text in ([5, 6, 7], [8, 9]))
        >>> [text] = swap_tokens(row, other, Vocabulary(frozenset({2, 3}), frozenset()), random.Random(0))
        >>> len(text), 1 <= sum(token > 7 for token in text) <= 3
        (3, True)
    """
    given = [token for text in other.texts for token in text]
    chosen = choose_some([len(text) for text in row.texts], _SHARE, draw)
    return tuple(
        [draw.choice(given) if swaps else token for token, swaps in zip(text, places, strict=True)]
        for text, places in zip(row.texts, chosen, strict=True)
    )
