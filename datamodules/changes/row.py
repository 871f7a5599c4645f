"""A tokenised row as the tokens of its texts and the special tokens around them, and the interface of a change."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple, Protocol

__all__ = ["MASKED", "Change", "Row", "Vocabulary", "choose_some"]

MASKED = -1
"""In the place of a token that is masked; no token has this id."""


class Vocabulary(NamedTuple):
    """What a change has to know of a tokenizer.

    Attributes:
        special: Ids of the tokens that enclose texts, which are never changed.
        inner: Ids of tokens that continue a word; empty if the tokenizer does not mark them.
    """

    special: frozenset[int]
    inner: frozenset[int]

    def words(self, tokens: Sequence[int]) -> list[list[int]]:
        """Group tokens into words.

        Args:
            tokens: Tokens of a text.

        Examples:
            >>> Vocabulary(frozenset(), frozenset({8})).words([7, 8, 8, 9])
            [[7, 8, 8], [9]]
        """
        words: list[list[int]] = []
        for token in tokens:
            if words and token in self.inner:
                words[-1].append(token)
            else:
                words.append([token])
        return words


class Row(NamedTuple):
    """A tokenised row.

    Attributes:
        texts: Tokens of each text; never empty. A row may lack texts.
        frame: The row's special tokens in their order, with None in the place of each text.
        segments: Segment id of each item of the frame; empty if the tokenizer has none.
    """

    texts: tuple[list[int], ...]
    frame: tuple[int | None, ...]
    segments: tuple[int, ...]

    @classmethod
    def of(cls, ids: Sequence[int], segments: Sequence[int], vocabulary: Vocabulary) -> Row:
        """Take a row apart.

        Args:
            ids: Ids of its tokens.
            segments: Segment ids, which are the same within a text; may be empty.
            vocabulary: Knows special tokens.

        Examples:
            >>> Row.of([2, 7, 8, 3, 9, 3], [0, 0, 0, 0, 1, 1], Vocabulary(frozenset({2, 3}), frozenset()))
            Row(texts=([7, 8], [9]), frame=(2, None, 3, None, 3), segments=(0, 0, 0, 1, 1))
        """
        texts: list[list[int]] = []
        frame: list[int | None] = []
        kept: list[int] = []
        for place, token in enumerate(ids):
            is_special = token in vocabulary.special
            if not is_special and frame and frame[-1] is None:
                texts[-1].append(token)
                continue
            frame.append(token if is_special else None)
            kept += segments[place : place + 1]
            if not is_special:
                texts.append([token])
        return cls(tuple(texts), tuple(frame), tuple(kept))

    def tokens(self) -> tuple[list[int], list[int]]:
        """Put the row together; returns ids and segment ids.

        Examples:
            >>> Row(([7, 8], [9]), (2, None, 3, None, 3), (0, 0, 0, 1, 1)).tokens()
            ([2, 7, 8, 3, 9, 3], [0, 0, 0, 0, 1, 1])
        """
        texts = iter(self.texts)
        parts = [next(texts) if token is None else [token] for token in self.frame]
        segments = [segment for segment, part in zip(self.segments, parts, strict=False) for _ in part]
        return [token for part in parts for token in part], segments


def choose_some(sizes: Sequence[int], share: float, draw: random.Random) -> list[list[bool]]:
    """Choose items of lists, each with a probability, but at least one of all items.

    Args:
        sizes: Number of items of each list, at least 1.
        share: The probability.
        draw: Source of random numbers.

    Returns:
        For each list, which of its items are chosen.

    Examples:
        >>> sum(choose_some([3, 2], 0.0, random.Random(0)), [])
        [False, False, False, False, True]
    """
    chosen = [[draw.random() < share for _ in range(size)] for size in sizes]
    if not any(map(any, chosen)):
        part = draw.randrange(len(chosen))
        chosen[part][draw.randrange(len(chosen[part]))] = True
    return chosen


class Change(Protocol):
    """A change of a row."""

    def __call__(self, row: Row, other: Row, vocabulary: Vocabulary, draw: random.Random) -> tuple[list[int], ...]:
        """Return the tokens of the changed row's texts, as many texts as the row has and none empty.

        `MASKED` may be in the place of tokens, which a masked language model then predicts for many rows at a time.

        Args:
            row: The row; it has at least one text.
            other: Another row, drawn at random, with as many texts.
            vocabulary: Knows words.
            draw: Source of random numbers.
        """
