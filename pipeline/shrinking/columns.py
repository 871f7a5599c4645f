"""Which columns of a file of rows are the texts and the label of a model, where nobody has said so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.sources.cells import in_file, is_empty
from datamodules.sources.records import BadRecord, Record, open_records, spelled
from datamodules.tasks.record_format import record_format
from stark.errors import StarkError, StarkFileNotFoundError

__all__ = ["Columns", "find_columns"]

_TEXT = "text"
_LABEL = "label"


@dataclass(frozen=True)
class Columns:
    """The columns of a file that a model reads.

    Args:
        texts: One or two columns of texts.
        label: Column of the label; None if there is none.
        labels: Name of each value of that column, in the order of the model's labels; empty without a label.
    """

    texts: tuple[str, ...]
    label: str | None
    labels: Mapping[str, str]


def find_columns(
    path: Path, label_names: Sequence[str], trained: Sequence[str] | None, texts: Sequence[str], label: str | None
) -> Columns:
    """Find the columns of the texts and of the label.

    The label's is the column whose values are all labels of the model: their names, their numbers, or LABEL_0 and so
    on. The texts' are those that the model was trained on, or else ``text``, or else the only other column.

    Args:
        path: A file of rows, in one of the formats of own data.
        label_names: The model's labels, in their order; a single one means scores.
        trained: Columns of the texts that the model was trained on, if that is known.
        texts: Columns that the user names; empty to find them.
        label: Column of the label that the user names; None to find it.

    Returns:
        The columns.

    Raises:
        StarkFileNotFoundError: If there is no such file.
        StarkError: If the file cannot be read, a named column is missing, or there are several that may be meant.
    """
    if not path.is_file():
        raise StarkFileNotFoundError(f"{path}: no such file")
    values = _values(path)
    for column in (*texts, *([label] if label else [])):
        if column not in values:
            raise StarkError(f"{path} has no column {column!r}, only {', '.join(values)}")
    label, labels = _label(path, values, label_names, label, set(texts) or set(trained or ()))
    others = [column for column in values if column != label]
    if not texts:
        texts = _texts(path, others, trained)
    return Columns(tuple(texts), label, labels)


def _values(path: Path) -> dict[str, set[str]]:
    """The distinct values of each column, without empty ones."""
    found: dict[str, set[str]] = {}
    with in_file(path), path.open("rb") as stream:
        form = record_format(str(path), stream.peek(1000))
        with open_records(stream, form) as records:
            for row in records:
                if isinstance(row, BadRecord):
                    raise StarkError(f"line {row.line}: {row.reason}")
                _add(found, row)
    if not found:
        raise StarkError(f"{path}: no rows in it")
    return found


def _add(found: dict[str, set[str]], row: Record) -> None:
    for column, value in zip(row.columns, row.cells, strict=True):
        known = found.setdefault(column, set())
        if value is not None and not is_empty(text := spelled(value)):
            known.add(text)


def _label(
    path: Path, values: Mapping[str, set[str]], label_names: Sequence[str], label: str | None, texts: set[str]
) -> tuple[str | None, Mapping[str, str]]:
    if len(label_names) == 1:  # any column of numbers could be the score, so that only its name tells
        chosen = label or (_LABEL if _LABEL in values else None)
        return chosen, {label_names[0]: label_names[0]} if chosen else {}
    candidates = [label] if label else [column for column in values if column not in texts]
    found = {column: codes for column in candidates if (codes := _codes(values[column], label_names)) is not None}
    if label and not found:
        unknown = sorted(values[label] - set(label_names))[:3]
        raise StarkError(
            f"{path}: the column {label!r} has values that are no labels of the model, such as "
            f"{', '.join(map(repr, unknown))}: they are {', '.join(label_names)}, or their numbers from 0"
        )
    if len(found) > 1:
        raise StarkError(f"{path}: the label may be in {' or in '.join(found)}: name its column by --label")
    for column, codes in found.items():
        return column, codes
    return None, {}


def _codes(values: set[str], label_names: Sequence[str]) -> dict[str, str] | None:
    """How a column writes the model's labels; None if it has other values."""
    spellings = (
        list(label_names),
        [str(number) for number in range(len(label_names))],
        [f"LABEL_{number}" for number in range(len(label_names))],
    )
    for spelling in spellings:
        if values and values <= set(spelling):
            return dict(zip(spelling, label_names, strict=True))
    return None


def _texts(path: Path, others: Sequence[str], trained: Sequence[str] | None) -> Sequence[str]:
    if trained is not None and set(trained) <= set(others):
        return trained
    if trained is None or len(trained) == 1:
        if _TEXT in others:
            return (_TEXT,)
        if len(others) == 1:
            return others
    number = "two columns of the texts by --text and --text_pair" if trained and len(trained) == 2 else "one by --text"
    raise StarkError(f"{path} has the columns {', '.join(others)} besides the label: name {number}")
