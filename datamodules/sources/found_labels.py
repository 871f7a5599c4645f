"""Labels that a task's description leaves out: the values of the label column in the training file."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path

from datamodules.sources.cells import in_file, is_empty, label_of
from datamodules.sources.dataset import class_names, dataset_state
from datamodules.sources.hashing import hashed_records
from datamodules.sources.several_labels import labels_of
from datamodules.tasks.description import Description
from datamodules.tasks.record_format import RecordFormat
from stark.errors import StarkError, StarkFileNotFoundError
from stark.telling import warn_once

__all__ = ["found_labels", "in_order", "looks_like_a_score"]

# More values than this are hardly classes: each would need rows in train, in the selection part and in dev.
_MOST_LABELS = 200
# With more values per row than this, they are hardly classes; a few rows show nothing.
_VALUES_PER_ROW, _FEW_ROWS = 0.5, 20
# Maximum numbers of labels that a message names.
_MOST_NAMES, _EXAMPLES = 20, 3
_SEVERAL = "multi_label"
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]*[.,][0-9]+|[0-9]+\.|[0-9]+([.,][0-9]*)?[eE][+-]?[0-9]+)")


def found_labels(description: Description) -> tuple[str, ...]:
    """Find the labels of a task whose labels are classes in its training file, and tell them once per process.

    Rows with an empty label have none. A column of classes (``ClassLabel``) of a data set has its own names. A file is
    read once per process, unless its time or its size changes.

    Args:
        description: The description of the task.

    Returns:
        The distinct labels, as they are written, in the order of `in_order`; the classes of a data set in its own.

    Raises:
        StarkFileNotFoundError: There is no training file.
        StarkError: The file cannot be read, the values look like scores, there are fewer than two, or the kind of label
            has no classes.
    """
    name, column, path = description.path.name, description.label, description.files["train"]
    assert isinstance(column, str)  # columns of 1 and 0 are the labels
    several = description.kind == _SEVERAL
    if description.kind not in (None, "classification", _SEVERAL):
        raise description.error(
            "kind", f"labels of kind {description.kind!r} are not found in rows: name them (labels)"
        )
    form = description.formats["train"]
    if form.dataset is not None:
        if names := class_names(form.dataset, column):
            warn_once(f"{name}: {len(names)} labels in column {column} of {path}, in its order: {_some(names)}")
            return names
    elif not path.is_file():
        raise StarkFileNotFoundError(
            f"{description.path}: it names no labels, and {path}, in which they would be found, does not exist"
        )
    counts = _counts(path, form, column, _state(path, form), description.separator, several=several)
    labels = in_order(counts)
    where = f"{description.path}: the column {column!r} of {path.name}"
    if not labels:
        raise StarkError(f"{where} has no label in any row")
    if several and len(labels) > _MOST_LABELS:
        raise StarkError(
            f"{where} has {len(labels):,} distinct labels: name them under labels, or leave the rare ones out of train"
        )
    if not several and looks_like_a_score(counts):
        examples = ", ".join(map(repr, labels[:_EXAMPLES])) + ("" if len(labels) <= _EXAMPLES else ", ...")
        raise StarkError(
            f"{where} has {len(labels):,} distinct values in {counts.total():,} rows ({examples}), which look like "
            "scores or texts: write labels: [score] for regression, or name the classes under labels"
        )
    if len(labels) == 1 and not several:
        raise StarkError(f"{where} has only one label, {labels[0]!r}: there is nothing to learn from it")
    told = _some([f"{label} ({counts[label]:,})" for label in labels])
    warn_once(
        f"{name}: {len(labels)} labels in column {column} of {path.name}: {told}; to fix names and order, name them "
        "under labels"
    )
    for first, second in _alike(labels):
        warn_once(f"{name}: the labels {first!r} and {second!r} differ only in case or spaces")
    return labels


def in_order(labels: Counter[str]) -> tuple[str, ...]:
    """Return labels in an order that does not depend on the rows: by number if all are integers, else as texts.

    Args:
        labels: The labels.

    Examples:
        >>> in_order(Counter(["10", "9", "-1"])), in_order(Counter(["10", "9", "no"]))
        (('-1', '9', '10'), ('10', '9', 'no'))
    """
    if all(_INTEGER.fullmatch(label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def looks_like_a_score(counts: Counter[str]) -> bool:
    """Whether the values of a column are rather scores or texts than classes.

    They are if most are numbers and one has decimals, if there are more than 200, or if there are more than half as
    many as rows, of which there must be more than 20.

    Args:
        counts: Number of rows of each value.

    Examples:
        >>> looks_like_a_score(Counter({"1": 40, "2": 7})), looks_like_a_score(Counter({"1": 40, "2.5": 7}))
        (False, True)
    """
    integers, decimals = (sum(bool(form.fullmatch(label)) for label in counts) for form in (_INTEGER, _DECIMAL))
    if decimals and 2 * (integers + decimals) > len(counts):
        return True
    return len(counts) > _MOST_LABELS or (counts.total() > _FEW_ROWS and len(counts) > _VALUES_PER_ROW * counts.total())


def _state(path: Path, form: RecordFormat) -> Hashable:
    """Return what changes when the rows change."""
    if form.dataset is not None:
        return dataset_state(form.dataset)
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=16)
def _counts(
    path: Path, form: RecordFormat, column: str, state: Hashable, separator: str | None, *, several: bool
) -> Counter[str]:
    """Return the number of rows of each label. The file's state is part of the cache's key."""
    counts: Counter[str] = Counter()
    with in_file(path), hashed_records(path, form) as (records, _):
        records.check_columns(column)
        for row in records:
            if several:
                counts.update(labels_of(row, column, separator) or ())
                continue
            label = label_of(row, column)
            if label is not None and not is_empty(label):
                counts[label] += 1
    return counts


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _alike(labels: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return pairs of labels that differ only in case or spaces."""
    first: dict[str, str] = {}
    pairs = []
    for label in labels:
        other = first.setdefault(" ".join(label.casefold().split()), label)
        if other != label:
            pairs.append((other, label))
    return pairs
