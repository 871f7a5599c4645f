"""Several labels of a row, as users' files have them: a list, a text with a separator, or a column for each label."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence

from datamodules.sources.cells import cell_of, is_empty, label_of
from datamodules.sources.lines import is_unicode
from datamodules.sources.records import BadRecord, Record, spelled
from datamodules.sources.source import parse_label
from datamodules.tasks.own import OwnTask
from stark.errors import StarkError

__all__ = ["MARKS", "joined_labels", "labels_of", "list_of", "marks_of"]

MARKS = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0}
"""What a column of a single label may have, in lower case: whether a row has the label."""


def labels_of(row: Record | BadRecord, column: str, separator: str | None) -> list[str] | None:
    """Return the labels of a row that are in one column.

    Args:
        row: The row.
        column: Name of the column. It has a list, or a text: JSON's or Python's spelling of a list, or labels between
            separators, around which blanks do not count.
        separator: The separator; None if there is none.

    Returns:
        The labels, which may be none; None for an empty cell, which says nothing about the row.

    Raises:
        StarkError: The row cannot be read, or its column has no labels; the message names the line.

    Examples:
        >>> labels_of(Record(2, ("text", "labels"), ("so, so", "joy | love"), ""), "labels", "|")
        ['joy', 'love']
        >>> labels_of(Record(2, ("text", "labels"), ("so, so", "[]"), ""), "labels", None)
        []
    """
    value = cell_of(row, column)
    if value is None or (isinstance(value, str) and is_empty(value)):
        return None
    items = value if isinstance(value, list) else list_of(spelled(value))
    if items is None and separator is not None:
        items = [part.strip() for part in spelled(value).split(separator)]
    wrong = ""
    if items is None:
        wrong = 'no list such as ["a", "b"]: write label_separator in the description if a character separates labels'
    elif any(item is None or isinstance(item, list | dict) or is_empty(spelled(item)) for item in items):
        wrong = "which has an item that is no label"
    elif len({spelled(item) for item in items}) < len(items):
        wrong = "which has a label twice"
    if wrong or items is None:
        raise StarkError(f"line {row.line}: {column} is {spelled(value)[:100]!r}, {wrong}")
    labels = [spelled(item) for item in items]
    if not all(map(is_unicode, labels)):
        raise StarkError(f"line {row.line}: {column} has half a surrogate pair, which is no character")
    return labels


def marks_of(row: Record | BadRecord, task: OwnTask, ids: Mapping[str, int], *, may_be_empty: bool) -> list[int] | None:
    """Return 1 for each label that a row has, and 0 for the others.

    Args:
        row: The row.
        task: The task, of whose labels a row may have several.
        ids: Numbers of the labels, by their spelling.
        may_be_empty: Whether a row may say nothing about its labels.

    Returns:
        A number for each label; None for a row that says nothing.

    Raises:
        StarkError: The row has no such labels; the message names the line.
    """
    if isinstance(task.label, tuple):
        cells = {column: label_of(row, column) for column in task.label}
        if may_be_empty and all(is_empty(cell) for cell in cells.values()):
            return None
        for column, cell in cells.items():
            if (cell or "").strip().lower() not in MARKS:
                raise StarkError(f"line {row.line}: {column} is {cell!r}, not 1 or 0")
        return [MARKS[(cells[code] or "").strip().lower()] for code in ids]
    labels = labels_of(row, task.label, task.separator)
    if labels is None:
        if may_be_empty:
            return None
        raise StarkError(f"line {row.line}: {task.label} is empty: write [] for a row that has none of the labels")
    try:
        own = {parse_label(label, ids) for label in labels}
    except ValueError as error:
        raise StarkError(f"line {row.line}: {error}") from error
    return [int(number in own) for number in ids.values()]


def joined_labels(labels: Sequence[str], separator: str | None) -> str:
    """Return the cell of a table that has several labels, as `labels_of` reads it.

    Args:
        labels: The labels; may be empty.
        separator: The separator; None for JSON's list, which is also written for no label.

    Examples:
        >>> joined_labels(["joy", "love"], "|"), joined_labels(["joy", "love"], None), joined_labels([], "|")
        ('joy|love', '["joy", "love"]', '[]')
    """
    return separator.join(labels) if separator is not None and labels else json.dumps(list(labels), ensure_ascii=False)


def list_of(text: str) -> list[object] | None:
    """Return the list that a text spells in JSON, or in Python as pandas writes it; None if it spells none.

    Args:
        text: The text of a cell.

    Examples:
        >>> list_of('["a", 1]'), list_of("['a']"), list_of("a, b")
        (['a', 1], ['a'], None)
    """
    if not text.lstrip().startswith("["):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            return found
    return None
