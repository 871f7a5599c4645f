"""The interface of a source of rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from stark.errors import StarkError
from stark.telling import warn_once

__all__ = ["Rows", "Source", "empty_texts_note", "is_score", "parse_label", "warn_of_empty_texts"]


# Maximum number of lines that a note names.
_MOST_LINES = 5
# The largest float32: 24 bits of ones.
_LARGEST_SCORE = (2 - 2**-23) * 2.0**127


class Rows(NamedTuple):
    """The rows of a split, column by column.

    Attributes:
        text_a: The first texts.
        text_b: The second texts, None for tasks of single texts.
        labels: Label ids, scores for regression, 1 or 0 for each label where a row may have several, or a relevance and
            the number of the query; None where the split is unlabelled.
        idx: The test file's index, or the row number from 0 if there is none.
        digest: Digest of the content, as `Source.digest` returns it; empty for rows that do not come from a source.
        groups: Number of each row's group in train, of rows that must not be divided; None if there are none.
    """

    text_a: list[str]
    text_b: list[str] | None
    labels: list[int] | list[float] | list[list[int]] | list[list[float]] | None
    idx: list[int]
    digest: str = ""
    groups: list[int] | None = None

    def select(self, rows: Sequence[int]) -> "Rows":
        """Return some of the rows, with their indices and the digest of all rows.

        Args:
            rows: Places of the rows.

        Examples:
            >>> Rows(["a", "b", "c"], None, [0, 1, 0], [0, 1, 2]).select([2, 1])
            Rows(text_a=['c', 'b'], text_b=None, labels=[0, 1], idx=[2, 1], digest='', groups=None)
        """
        pair = None if self.text_b is None else [self.text_b[row] for row in rows]
        labels: Any = None if self.labels is None else [self.labels[row] for row in rows]
        groups = None if self.groups is None else [self.groups[row] for row in rows]
        idx = [self.idx[row] for row in rows]
        return Rows([self.text_a[row] for row in rows], pair, labels, idx, self.digest, groups)


def parse_label(text: str, ids: Mapping[str, int]) -> float:
    """Return a label's id, or a score.

    Args:
        text: The cell, unchanged from the file.
        ids: Ids of the labels, by their spelling; empty if a finite score is expected.

    Raises:
        StarkError: The text is not such a label or score; the caller adds file and line.

    Examples:
        >>> parse_label("good", {"bad": 0, "good": 1}), parse_label("2.5", {})
        (1, 2.5)
    """
    if ids:
        if text not in ids:
            around = text.strip(" \t'\"") in ids
            hint = ", because of the characters around it: write labels as they are in the file" if around else ""
            raise StarkError(f"label {text!r} is not one of {', '.join(ids)}{hint}")
        return ids[text]
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not is_score(score) or "_" in text:  # which Python allows between digits
        raise StarkError(f"score {text!r} is not a number, or not one that a float32 holds")
    return score


def is_score(score: float | None) -> bool:
    """Whether a number can be a score, which is stored as a float32.

    Examples:
        >>> is_score(1e38), is_score(1e39), is_score(None)
        (True, False, False)
    """
    return score is not None and math.isfinite(score) and abs(score) <= _LARGEST_SCORE


def empty_texts_note(numbers: Sequence[int], unit: str = "line") -> str:
    """Return a sentence about the rows with an empty or blank text; such rows are used like any other.

    Args:
        numbers: Numbers of these rows or of their lines; at least one.
        unit: The thing that is numbered, such as "line" or "row".

    Examples:
        >>> empty_texts_note([3, 7])
        '2 rows have an empty text (lines 3, 7) and are used as they are'
    """
    first = ", ".join(map(str, numbers[:_MOST_LINES])) + (", ..." if len(numbers) > _MOST_LINES else "")
    if len(numbers) == 1:
        return f"1 row has an empty text ({unit} {first}) and is used as it is"
    return f"{len(numbers)} rows have an empty text ({unit}s {first}) and are used as they are"


def warn_of_empty_texts(where: str, numbers: Sequence[int], unit: str = "line") -> None:
    """Log a warning if there are rows with an empty or blank text.

    Args:
        where: The file.
        numbers: As in `empty_texts_note`, but there may be none.
        unit: As in `empty_texts_note`.
    """
    if numbers:
        warn_once(f"{where}: {empty_texts_note(numbers, unit)}")


class Source(Protocol):
    """Gives the rows of a task's splits.

    The two methods are separate because rows whose digest is found in the cache need not be read. Rows contain the
    digest of the bytes that they were parsed from, because a file can change between two readings.
    """

    def digest(self, split: str) -> str:
        """Return a digest of a split's content; raises FileNotFoundError if there is no such split."""

    def rows(self, split: str) -> Rows:
        """Return the rows of a split; raises FileNotFoundError if there is none, ValueError if a row is invalid."""
