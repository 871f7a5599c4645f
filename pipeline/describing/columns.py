"""Which columns of a file of rows are the texts and the label, where nobody has said so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from datamodules.sources.cells import in_file, is_empty
from datamodules.sources.found_labels import looks_like_a_score
from datamodules.sources.hashing import hashed_records
from datamodules.sources.records import BadRecord, spelled
from datamodules.sources.several_labels import MARKS, joined_labels, list_of
from datamodules.tasks.dataset_split import DatasetSplit
from datamodules.tasks.record_format import RecordFormat, record_format
from stark.errors import StarkError, StarkFileNotFoundError

__all__ = ["Columns", "KnownLabels", "find_columns"]

_TEXTS = ("text", "sentence")
_LABELS = ("label", "labels", "class", "category", "target")
# Rows that are looked at. The others are checked when the rows are read.
_LOOKED_AT = 10_000
# Texts are this many times as long as the values of any other column.
_LONGER = 2.0


@dataclass(frozen=True)
class Columns:
    """The columns of a file of rows.

    Args:
        texts: One or two columns of texts.
        label: Column of the label, or a column of 1 and 0 for each label; None if there is none.
        labels: Name of each value of that column, in the order of a model's labels; empty if no model is given.
        several: Whether a row may have several labels, because the label is a list or has several columns.
        separator: What separates the labels of a row, if they are not a list.
        kind: Name of the kind of label, where the values do not tell it.
        group: Column whose value is the same in rows that belong together; None if there is none.
        delimiter: What separates the columns, if it is not that of the file's ending.
    """

    texts: tuple[str, ...]
    label: str | tuple[str, ...] | None
    labels: Mapping[str, str]
    several: bool = False
    separator: str | None = None
    kind: str | None = None
    group: str | None = None
    delimiter: str | None = None


@dataclass(frozen=True)
class KnownLabels:
    """The labels of a model.

    Args:
        names: Their names, in their order; a single one means scores.
        several: Whether a row may have several.
        separator: What separates those of a row in the rows that the model was trained on, if they are no list.
    """

    names: tuple[str, ...]
    several: bool = False
    separator: str | None = None


@dataclass
class _Column:
    """What is known of a column.

    Args:
        counts: Number of rows of each value that is not empty.
        characters: Number of characters of all values.
        items: What is in the lists, if all values are lists.
        has_lists: Whether all values that are not empty are lists.
    """

    counts: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    items: set[str] = field(default_factory=set)
    has_lists: bool = True

    def add(self, value: object) -> None:
        """Count a value."""
        if value is None or is_empty(text := spelled(value)):
            return
        self.counts[text] += 1
        self.characters += len(text)
        if self.has_lists:
            items = value if isinstance(value, list) else list_of(text)
            self.has_lists = items is not None
            self.items |= set(map(spelled, items or ()))

    @property
    def is_list(self) -> bool:
        """Whether it has lists, and nothing else."""
        return self.has_lists and bool(self.counts)

    @property
    def is_mark(self) -> bool:
        """Whether all values are 1 and 0, or true and false."""
        return bool(self.counts) and {value.strip().lower() for value in self.counts} <= set(MARKS)

    @property
    def length(self) -> float:
        """Mean number of characters of a value."""
        return self.characters / max(self.counts.total(), 1)


def find_columns(
    path: Path,
    texts: Sequence[str] = (),
    label: str | None = None,
    *,
    group: str | None = None,
    dataset: DatasetSplit | None = None,
    known: KnownLabels | None = None,
    trained: Sequence[str] | None = None,
) -> Columns:
    """Find the columns of the texts and of the label in the first rows of a file.

    For a model, the label's is the column whose values are all labels of the model: their names, their numbers, or
    LABEL_0 and so on; there may be none. A score's is the column with the model's name of it, or one called label,
    labels, class, category or target. Where a row may have several, it is the column with lists of these, or there
    is a column of 1 and 0 with the name of each. Without a model it is the one called label, labels, class, category
    or target, or else the only one with lists, or else the only one with few different values.

    The texts' are those that the model was trained on, or else the one called text or sentence, or else the only other
    column, or else the one whose values are twice as long as those of any other.

    Args:
        path: A file of rows, in one of the formats of own data; of a data set the path for messages.
        texts: Columns that the user names; empty to find them.
        label: Column of the label that the user names; None to find it.
        group: Column of the groups of rows that the user names; None if there is none. It is neither label nor text
            unless the user names it as such, too.
        dataset: The split of a data set that has the rows, in the place of a file.
        known: The labels of a model; None without a model.
        trained: Columns of the texts that the model was trained on, if that is known.

    Returns:
        The columns.

    Raises:
        StarkFileNotFoundError: If there is no such file.
        StarkError: If the file cannot be read, a named column is missing, or there are several that may be meant.
    """
    columns, delimiter = _columns(path, dataset)
    for column in (*texts, *(name for name in (label, group) if name)):
        if column not in columns:
            raise StarkError(f"{path} has no column {column!r}, only {', '.join(columns)}")
    taken = (set(texts) or set(trained or ())) | ({group} if group else set())
    if known is None:
        label = label or _unknown_label(path, columns, taken)
        found = Columns((), label, {}, columns[label].is_list)
    elif known.several and label is None and all(name in columns and columns[name].is_mark for name in known.names):
        found = Columns((), known.names, {name: name for name in known.names}, several=True)
    else:
        found = _known_label(path, columns, known, label, taken)
    used = (found.label,) if isinstance(found.label, str) else found.label or ()
    others = {column: one for column, one in columns.items() if column not in (*used, group)}
    return replace(found, texts=tuple(texts) or _texts(path, others, trained), group=group, delimiter=delimiter)


@dataclass(frozen=True)
class _FirstRows:
    """What the first rows of a file or of a split say.

    Args:
        columns: What is known of each column.
        wrong: The reason why they cannot be read; empty if they can.
        other_delimiter: What separates the names of the columns, if it is not the format's delimiter.
    """

    columns: Mapping[str, _Column]
    wrong: str = ""
    other_delimiter: str | None = None


def _columns(path: Path, dataset: DatasetSplit | None) -> tuple[Mapping[str, _Column], str | None]:
    """The columns, and what separates them, if it is not what the file's ending says."""
    if dataset is None and not path.is_file():
        raise StarkFileNotFoundError(f"{path}: no such file")
    with in_file(path):
        form = record_format(str(path)) if dataset is None else RecordFormat(json_lines=True, dataset=dataset)
        read, delimiter = _first_rows(path, form), None
        if read.other_delimiter is not None:
            other = _first_rows(path, replace(form, delimiter=read.other_delimiter))
            if not other.wrong:
                read, delimiter = other, read.other_delimiter
        if read.wrong:
            raise StarkError(f"{read.wrong} (correct it, or say in a YAML that describes the rows how to read them)")
        if not read.columns:
            raise StarkError("no rows in it")
    return read.columns, delimiter


def _first_rows(path: Path, form: RecordFormat) -> _FirstRows:
    found: dict[str, _Column] = {}
    try:
        with hashed_records(path, form) as (records, _):
            for row in islice(records, _LOOKED_AT):
                if isinstance(row, BadRecord):
                    return _FirstRows(found, f"line {row.line}: {row.reason}", records.other_delimiter)
                for column, value in zip(row.columns, row.cells, strict=True):
                    found.setdefault(column, _Column()).add(value)
            return _FirstRows(found, other_delimiter=records.other_delimiter)
    except StarkFileNotFoundError:
        raise
    except ValueError as error:  # the names of the columns cannot be read
        return _FirstRows(found, str(error))


def _known_label(
    path: Path, columns: Mapping[str, _Column], known: KnownLabels, label: str | None, texts: set[str]
) -> Columns:
    """The column with the labels of a model, and how it writes them; the texts are empty."""
    if len(known.names) == 1 and not known.several:  # any column of numbers could be the score: only its name tells
        chosen = label or next(
            (name for name in (*known.names, *_LABELS) if name in columns and name not in texts), None
        )
        return Columns((), chosen, {known.names[0]: known.names[0]} if chosen else {})
    candidates = [label] if label else [column for column in columns if column not in texts]
    values = {name: _values(columns[name], known) for name in candidates}
    found = {name: codes for name, own in values.items() if (codes := _codes(own, known.names)) is not None}
    if label and not found:
        unknown = sorted((values[label] or set(columns[label].counts)) - set(known.names))[:3]
        raise StarkError(
            f"{path}: the column {label!r} has values that are no labels of the model, such as "
            f"{', '.join(map(repr, unknown))}: they are {', '.join(known.names)}, or their numbers from 0"
        )
    if len(found) > 1:
        raise _unclear(path, found)
    for name, codes in found.items():
        return Columns((), name, codes, known.several, None if columns[name].is_list else known.separator)
    return Columns((), None, {})


def _values(column: _Column, known: KnownLabels) -> set[str]:
    """The values of a column that may be labels."""
    if not known.several:
        return set(column.counts)
    if column.is_list:
        return column.items
    if known.separator is None:
        return set()
    none = joined_labels((), known.separator)
    return {part.strip() for text in column.counts if text != none for part in text.split(known.separator)}


def _codes(values: Iterable[str], label_names: Sequence[str]) -> dict[str, str] | None:
    """How a column writes a model's labels; None if it has other values."""
    spellings = (
        list(label_names),
        [str(number) for number in range(len(label_names))],
        [f"LABEL_{number}" for number in range(len(label_names))],
    )
    given = set(values)
    for spelling in spellings:
        if given and given <= set(spelling):
            return dict(zip(spelling, label_names, strict=True))
    return None


def _unknown_label(path: Path, columns: Mapping[str, _Column], texts: set[str]) -> str:
    """The column of the label where no model says what its values are."""
    for name in _LABELS:
        if name in columns and name not in texts:
            return name
    lists = [name for name, column in columns.items() if column.is_list and name not in texts]
    if len(lists) == 1:
        return lists[0]
    found = [
        name
        for name, column in columns.items()
        if name not in texts and len(column.counts) > 1 and not looks_like_a_score(column.counts)
    ]
    if len(found) > 1:
        raise _unclear(path, found)
    if not found:
        raise StarkError(
            f"{path} has the columns {', '.join(columns)}, none of which looks like a label: name it by --label"
        )
    return found[0]


def _unclear(path: Path, found: Iterable[str]) -> StarkError:
    return StarkError(f"{path}: the label may be in {' or in '.join(found)}: name its column by --label")


def _texts(path: Path, others: Mapping[str, _Column], trained: Sequence[str] | None) -> tuple[str, ...]:
    if trained is not None and set(trained) <= set(others):
        return tuple(trained)
    if trained is None or len(trained) == 1:
        named = next((name for name in _TEXTS if name in others), None)
        if named is not None:
            return (named,)
        longest, *rest = sorted(others, key=lambda name: -others[name].length) or [""]
        if longest and all(others[longest].length >= _LONGER * others[name].length for name in rest):
            return (longest,)
    if not others:
        raise StarkError(f"{path} has no column besides that of the label: its rows need a text, too")
    number = "two columns of the texts by --text and --text_pair" if trained and len(trained) == 2 else "one by --text"
    raise StarkError(f"{path} has the columns {', '.join(others)} besides the label: name {number}")
