"""The cells of a row in a user's file: texts and labels as they are written, and where a mistake is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datamodules.sources.lines import is_unicode
from datamodules.sources.records import BadRecord, Record, spelled
from stark.errors import StarkError

__all__ = ["cell_of", "in_file", "is_empty", "label_of", "texts_of"]


@contextmanager
def in_file(path: Path) -> Iterator[None]:
    """Add a file's path to errors that name a line of it, or nothing.

    Args:
        path: The file.

    Raises:
        StarkError: The error of the body, in one line with the path.
    """
    try:
        yield
    except FileNotFoundError:  # which names what is missing
        raise
    except ValueError as error:
        raise StarkError(f"{path}, {error}" if str(error).startswith("line") else f"{path}: {error}") from error


def texts_of(row: Record | BadRecord, columns: tuple[str, ...]) -> list[str]:
    """Return the texts of a row.

    Args:
        row: The row.
        columns: Names of the columns.

    Raises:
        StarkError: The row cannot be read, or a column is missing or has no text; the message names the line.
    """
    row = _readable(row)
    try:
        return [row.text(column) for column in columns]
    except ValueError as error:
        raise StarkError(f"line {row.line}: {error}") from error


def cell_of(row: Record | BadRecord, column: str) -> object:
    """Return the value of a column.

    Args:
        row: The row.
        column: Name of the column.

    Raises:
        StarkError: The row cannot be read, or the column is missing; the message names the line.
    """
    row = _readable(row)
    try:
        return row.cell(column)
    except ValueError as error:
        raise StarkError(f"line {row.line}: {error}") from error


def label_of(row: Record | BadRecord, column: str) -> str | None:
    """Return the label of a row as it is written in the file.

    Args:
        row: The row.
        column: Name of the column.

    Returns:
        The label; None for JSON's null.

    Raises:
        StarkError: The row cannot be read, the column is missing, or it has a list, an object or half a surrogate pair;
            the message names the line.

    Examples:
        >>> label_of(Record(2, ("text", "stars"), ("so, so", True), ""), "stars")
        'true'
    """
    value = cell_of(row, column)
    if isinstance(value, list | dict):
        several = ": write kind: multi_label if a row may have several" if isinstance(value, list) else ""
        raise StarkError(f"line {row.line}: {column} is {spelled(value)[:100]}, not a label{several}")
    if value is None:
        return None
    if not is_unicode(label := spelled(value)):
        raise StarkError(f"line {row.line}: {column} has half a surrogate pair, which is no character")
    return label


def is_empty(label: str | None) -> bool:
    """Whether a cell has no label.

    Examples:
        >>> is_empty(None), is_empty(" "), is_empty("0")
        (True, True, False)
    """
    return label is None or not label.strip()


def _readable(row: Record | BadRecord) -> Record:
    if isinstance(row, BadRecord):
        raise StarkError(f"line {row.line}: {row.reason}")
    return row
