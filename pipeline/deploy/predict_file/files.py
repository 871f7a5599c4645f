"""Opens the input and the output, which replaces nothing but an earlier output."""

from __future__ import annotations

import gzip
import itertools
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from datamodules.sources.records import Record, open_records, spelled
from datamodules.sources.several_labels import joined_labels
from datamodules.tasks.record_format import RecordFormat, record_format
from pipeline.deploy.predict_file.bad_rows import are_bad_rows
from pipeline.deploy.predict_file.writer import LABEL, PROBABILITY, rounded
from stark.errors import StarkError, StarkFileNotFoundError
from stark.storage import check_output, is_stream, open_output

__all__ = ["STANDARD_OUTPUT", "check_outputs", "opened", "target_format", "written"]

STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1")
"""Names of the standard output."""


@contextmanager
def opened(name: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """Open the input.

    Args:
        name: Its path, or ``-`` for the standard input.

    Yields:
        Its stream of bytes, and its size; None if that is unknown.

    Raises:
        StarkError: If there is none.
    """
    if name == "-":
        if sys.stdin is None:
            raise StarkError("standard input is closed")
        yield sys.stdin.buffer, None
        return
    path = Path(name)
    if not path.exists():
        raise StarkFileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise StarkError(f"{path} is a folder, not a file of rows")
    with path.open("rb") as stream:
        yield stream, path.stat().st_size if path.is_file() else None


def target_format(name: str, form: RecordFormat) -> RecordFormat:
    """The format of the output: that of its file name's ending, or else that of the input.

    Args:
        name: Path of the output, or a name of the standard output.
        form: Format of the input.

    Raises:
        StarkError: If rows cannot be written in this format.
    """
    if name in STANDARD_OUTPUT or not Path(name).suffixes:
        return replace(form, compressed=False, parquet=False)
    target = record_format(name)
    if target.parquet:
        raise StarkError(f"{name}: predictions are written as .csv, .tsv or .jsonl: choose one of these endings")
    is_other_csv = not form.json_lines and target.delimiter == "," and form.delimiter != "\t"
    return replace(target, delimiter=form.delimiter) if is_other_csv else target


@contextmanager
def written(name: str, target: RecordFormat, overwrite: bool) -> Iterator[BinaryIO]:
    """Open the output; a file appears only when it is complete.

    Args:
        name: Its path, or a name of the standard output.
        target: Its format.
        overwrite: Whether it may replace any file, not only an earlier output.

    Yields:
        Its stream of bytes.
    """
    if name in STANDARD_OUTPUT:
        if sys.stdout is None:
            raise StarkError("standard output is closed")
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with open_output(Path(name), overwrite=overwrite, is_ours=lambda path: _is_output(path, target)) as stream:
        if not target.compressed:
            yield stream
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as compressed:
            yield compressed  # type: ignore[misc]  # a stream of bytes, too


def check_outputs(source: str, name: str, target: RecordFormat, overwrite: bool) -> Path | None:
    """Refuse outputs that would replace other files, before the model is loaded.

    Args:
        source: Path of the input, or ``-``.
        name: Path of the output, or a name of the standard output.
        target: Format of the output.
        overwrite: Whether it may replace any file but the input.

    Returns:
        The file for bad rows; None if there is no place for one.

    Raises:
        StarkError: If an output would replace another file.
    """
    if name in STANDARD_OUTPUT:
        return None
    output = Path(name)
    apart = None if is_stream(output) else Path(f"{output}.bad.jsonl")
    for path in filter(None, (output, apart)):
        if source != "-" and Path(source).is_file() and path.resolve() == Path(source).resolve():
            raise StarkError(f"{path} is the input, whose bad rows would be lost: choose another --output")
    check_output(output, overwrite=overwrite, is_ours=lambda path: _is_output(path, target))
    if apart is not None:
        check_output(apart, overwrite=overwrite, is_ours=are_bad_rows)
    return apart


def _is_output(path: Path, target: RecordFormat) -> bool:
    """Whether a file is an earlier output, judged by its last columns and their values, or is empty."""
    if not path.is_file() or not path.stat().st_size:
        return path.is_file()
    try:
        with path.open("rb") as stream, open_records(stream, replace(target, header=True, encoding=None)) as records:
            named = records.columns is None or LABEL in records.columns
            return named and all(isinstance(row, Record) and _is_labelled(row) for row in records)
    except ValueError:
        return False


def _is_labelled(row: Record) -> bool:
    """Whether a row's last columns have values that this command wrote; if somebody corrected its label, they do not.

    Examples:
        >>> names = ("text", "predicted", "probability", "probability_no", "probability_yes")
        >>> _is_labelled(Record(2, names, ("x", "no", "0.75", "0.75", "0.25"), ""))
        True
        >>> _is_labelled(Record(2, names, ("x", "yes", "0.75", "0.75", "0.25"), ""))
        False
        >>> _is_labelled(Record(2, names[:2], ("x", "3.25"), ""))
        True
    """
    cells = dict(itertools.dropwhile(lambda cell: cell[0] != LABEL, zip(row.columns, row.cells, strict=True)))
    names = list(cells)
    try:
        if names == [LABEL]:
            score = spelled(cells[LABEL])
            return score == spelled(rounded(float(score)))
        numbers = {name: float(spelled(cells[name])) for name in names[1:]}
    except ValueError:
        return False
    if PROBABILITY not in names:
        return _has_several(cells[LABEL], {name.removeprefix(f"{PROBABILITY}_"): numbers[name] for name in numbers})
    own = f"{PROBABILITY}_{spelled(cells.get(LABEL))}"
    labels = {name: number for name, number in numbers.items() if name != PROBABILITY}
    return (
        names[1:2] == [PROBABILITY]
        and all(name.startswith(f"{PROBABILITY}_") for name in labels)
        and own in labels
        and labels[own] == numbers[PROBABILITY]
    )


def _has_several(cell: object, probabilities: Mapping[str, float]) -> bool:
    """Whether a cell names the labels with the largest probabilities, in their order, as a list or with a separator.

    Examples:
        >>> _has_several("no|so", {"no": 0.5, "yes": 0.25, "so": 0.75}), _has_several("[]", {"no": 0.5, "yes": 0.25})
        (True, True)
        >>> _has_several("yes", {"no": 0.5, "yes": 0.25, "so": 0.75})
        False
    """
    spelt, ordered = spelled(cell), sorted(probabilities.values(), reverse=True)
    for least in (math.inf, *ordered):
        labels = [label for label, number in probabilities.items() if number >= least]
        if spelt == joined_labels(labels, None) or re.fullmatch(_joined(labels), spelt, re.DOTALL):
            return True
    return False


def _joined(labels: Sequence[str]) -> str:
    """A pattern of labels with the same separator between them; at least one label."""
    first, *others = map(re.escape, labels or ["[]"])
    separators = ["(.+?)", *([r"\1"] * len(others))]
    return first + "".join(separator + other for separator, other in zip(separators, others, strict=False))
