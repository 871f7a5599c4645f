"""Rows of a file that belong together: those with the same texts, and those with the same value of a column."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

__all__ = ["common_strata", "groups_of", "same_text"]


def same_text(text: str) -> str:
    """A text without its case and white space, which is equal for near duplicates.

    Examples:
        >>> same_text(" So,  SO ")
        'so, so'
    """
    return " ".join(text.casefold().split())


def groups_of(texts: Sequence[Sequence[str]], values: Sequence[str | None] | None = None) -> list[int]:
    """Number the groups of rows that belong together.

    Rows belong together if their texts are the same but for case and white space, or if they have the same value, and
    so do rows that are connected by others. A row without a value belongs to those with the same texts alone.

    Args:
        texts: The one or two texts of each row.
        values: The value of each row, None for a row without one; None if there are no values.

    Returns:
        The number of each row's group from 0. Groups are ordered by the smallest SHA-256 of their values, or of their
        texts where they have no value, so that another row changes the order of few.

    Examples:
        >>> len(set(groups_of([["a"], ["A "], ["b"], ["c"]])))
        3
        >>> len(set(groups_of([["a"], ["A "], ["b"], ["c"]], ["x", None, "x", "y"])))
        2
    """
    of_texts = [_key([same_text(text) for text in words]) for words in texts]
    if values is None:
        keys = of_texts
    else:
        of_values = [text if value is None else _key(value) for text, value in zip(of_texts, values, strict=True)]
        keys = _connected(of_texts, of_values)
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    return [numbers[key] for key in keys]


def common_strata(groups: Sequence[int], strata: Sequence[int | None]) -> list[int | None]:
    """Give the rows of a group its most frequent stratum.

    Args:
        groups: Number of each row's group.
        strata: Number of each row's stratum; None for a row without a label.

    Returns:
        The strata, on a tie the lowest one of a group; None for a row without a label.

    Examples:
        >>> common_strata([0, 0, 0, 1, 1], [1, 1, 0, 2, None])
        [1, 1, 1, 2, None]
    """
    counts: dict[int, Counter[int]] = {}
    for group, stratum in zip(groups, strata, strict=True):
        if stratum is not None:
            counts.setdefault(group, Counter())[stratum] += 1
    common = {group: min(count, key=lambda stratum: (-count[stratum], stratum)) for group, count in counts.items()}
    return [None if stratum is None else common[group] for group, stratum in zip(groups, strata, strict=True)]


def _connected(first: Sequence[bytes], second: Sequence[bytes]) -> list[bytes]:
    """The smallest of the second keys of all rows that are connected to a row by a key of either kind."""
    above: dict[tuple[int, bytes], tuple[int, bytes]] = {}

    def top(key: tuple[int, bytes]) -> tuple[int, bytes]:
        while (higher := above.setdefault(key, key)) != key:
            above[key] = above.setdefault(higher, higher)  # shortens the path for the next time
            key = higher
        return key

    for one, other in zip(first, second, strict=True):
        above[top((0, one))] = top((1, other))
    smallest: dict[tuple[int, bytes], bytes] = {}
    for key in second:
        group = top((1, key))
        smallest[group] = min(smallest.get(group, key), key)
    return [smallest[top((1, key))] for key in second]


def _key(words: str | Sequence[str]) -> bytes:
    return hashlib.sha256(json.dumps(words).encode()).digest()
