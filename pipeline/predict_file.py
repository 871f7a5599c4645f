"""`stark predict-file`: labels and probabilities for people's own rows."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from datamodules.records import BadRecord, Record, RecordFormat, read_records, record_format
from lightning_modules.input_checks import check_segments
from pipeline.classifier import Classifier, open_classifier
from pipeline.errors import OneLineErrors
from pipeline.model_data import config_of, texts_of
from storage import new_file, write_text

__all__ = ["predict_file"]

_USUAL = ("text", "text_pair")
_LABEL, _PROBABILITY = "predicted", "probability"
# Rows that are read, sorted by length and written at a time.
_CHUNK = 4096
# How many bad rows are told one by one.
_TOLD = 10


def predict_file(args: list[str]) -> None:
    """Run `stark predict-file`.

    Args:
        args: The command line after `predict-file`.

    Raises:
        ValueError: If the model, the file or a column is not there.
    """
    parser = OneLineErrors(prog="stark predict-file", description="Classify the rows of a CSV, TSV or JSON lines file.")
    parser.add_argument("model", type=str, help="model folder, or one of stark export")
    parser.add_argument("--input", type=str, required=True, help="my.csv, my.tsv, my.jsonl, or - for standard input")
    parser.add_argument("--output", type=str, default="-", help="the same rows and their labels; - for standard output")
    parser.add_argument("--text", type=str, help="column of the text; default: text, or as the model's task calls it")
    parser.add_argument("--text_pair", type=str, help="column of the second text; default: text_pair, or the task's")
    parser.add_argument("--batch_size", type=int, default=32, help="rows per batch")
    parser.add_argument("--max_length", type=int, help="the most tokens of a row; default: as it was trained")
    options = parser.parse_args(args)
    if options.batch_size < 1:
        raise ValueError(f"batch_size is {options.batch_size} but must be at least 1")
    if options.output != "-" and Path(options.output).resolve() == Path(options.input).resolve():
        raise ValueError(f"{options.output} is the input, whose bad rows would be lost: choose another --output")
    folder, bad = Path(options.model), []
    name = "standard input" if options.input == "-" else options.input
    with _opened(options.input) as (stream, size):
        form = record_format(options.input, stream.peek(1000))  # type: ignore[attr-defined]  # both kinds have it
        target = form if options.output == "-" else record_format(options.output)
        classifier = open_classifier(folder, options.max_length)
        chunks = _chunks(_naming(read_records(stream, form), name))
        first = next(chunks, [])
        columns = _columns(first, folder, options.text, options.text_pair, name)
        if len(columns) == 2:  # of somebody else's model nothing says that it takes pairs
            check_segments(config_of(folder), classifier.tokenizer, options.model)
        shown = (TextColumn("{task.fields[rows]} rows"), BarColumn(), TimeElapsedColumn())
        with Progress(*shown, console=Console(stderr=True)) as progress, _written(options.output) as text:
            bar, done = progress.add_task("", total=size, rows=0), 0
            writer = _Writer(text, target, first, classifier, name)
            for chunk in itertools.chain([first], chunks):
                good = []
                for row in chunk:
                    reason = row.reason if isinstance(row, BadRecord) else writer.refuses(row, columns)
                    bad += [] if reason is None else [BadRecord(row.line, reason)]
                    good += [row] if reason is None and isinstance(row, Record) else []
                if good:
                    writer.write(good, _probabilities(classifier, good, columns, options.batch_size))
                done += len(chunk)
                progress.update(bar, rows=done, completed=None if size is None else stream.tell())
    _report(bad, done, name, options.output)


@contextmanager
def _opened(name: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """The bytes to read, and how many there are, where that is known."""
    if name == "-":
        yield sys.stdin.buffer, None
        return
    path = Path(name)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with path.open("rb") as stream:
        yield stream, path.stat().st_size


@contextmanager
def _written(name: str) -> Iterator[TextIO]:
    """What to write to; a file appears when it is complete."""
    if name == "-":
        yield sys.stdout
        return
    with new_file(Path(name)) as temporary, temporary.open("w", encoding="utf-8", newline="") as text:
        yield text


def _naming(rows: Iterator[Record | BadRecord], name: str) -> Iterator[Record | BadRecord]:
    try:
        yield from rows
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _chunks(rows: Iterator[Record | BadRecord]) -> Iterator[list[Record | BadRecord]]:
    while chunk := list(itertools.islice(rows, _CHUNK)):
        yield chunk


def _columns(
    rows: Sequence[Record | BadRecord], folder: Path, text: str | None, pair: str | None, name: str
) -> tuple[str, ...]:
    """The columns of the texts: those that were named, the usual ones, or those of the model's task."""
    known = list(dict.fromkeys(column for row in rows if isinstance(row, Record) for column in row.values))
    if not known:
        first = next((f", line {row.line}: {row.reason};" for row in rows if isinstance(row, BadRecord)), ":")
        raise ValueError(f"{name}{first} there is no row that can be read")
    trained = texts_of(folder)
    own = _USUAL if trained is None else trained
    if text is None:
        usual = [names for names in (_USUAL[: len(own)], own) if names[0] in known]
        if not usual:
            raise ValueError(f"{name} has the columns {', '.join(known)}: name that of the text by --text")
        text = usual[0][0]
        pair = pair or next((column for column in usual[0][1:] if column in known), None)
    chosen = (text,) if pair is None else (text, pair)
    for column in chosen:
        if column not in known:
            raise ValueError(f"{name} has no column {column!r}, only {', '.join(known)}")
    if trained is not None and len(chosen) != len(own):
        single = "single texts: give no --text_pair"
        wanted = "pairs: name the second column by --text_pair" if len(own) == 2 else single
        raise ValueError(f"{folder} was trained on {wanted}")
    return chosen


def _probabilities(
    classifier: Classifier, rows: Sequence[Record], columns: Sequence[str], batch_size: int
) -> list[list[float]]:
    texts = [[str(row.values[column]) for row in rows] for column in columns]
    found: list[list[float]] = classifier(texts[0], texts[1] if len(texts) > 1 else None, batch_size).tolist()
    return found


class _Writer:
    """Writes rows with what was predicted; all of a CSV have the columns of the first."""

    def __init__(
        self, text: TextIO, form: RecordFormat, rows: Iterable[Record | BadRecord], classifier: Classifier, name: str
    ) -> None:
        self._text, self._form, self._labels = text, form, classifier.label_names
        self._columns = list(next(row.values for row in rows if isinstance(row, Record)))
        self._regression = classifier.is_regression
        self._new = [_LABEL]
        if not self._regression:
            self._new += [_PROBABILITY, *(f"{_PROBABILITY}_{label}" for label in self._labels)]
        if taken := [column for column in self._new if column in self._columns]:
            raise ValueError(f"{name} has a column {taken[0]!r} already: rename it")
        if form != "jsonl":
            self._csv = csv.writer(text, delimiter="\t" if form == "tsv" else ",", lineterminator="\n")
            self._csv.writerow([*self._columns, *self._new])

    def refuses(self, row: Record, columns: Sequence[str]) -> str | None:
        """What is wrong with a row."""
        for column in columns:
            value = row.values.get(column)
            if not isinstance(value, str) or not value.strip():
                return f"{column} is {json.dumps(value)}, not a text" if value is not None else f"there is no {column}"
        if self._form != "jsonl" and (other := [key for key in row.values if key not in self._columns]):
            return f"it has {other[0]}, which the first row has not"
        return None

    def write(self, rows: Sequence[Record], probabilities: Sequence[Sequence[float]]) -> None:
        for row, found in zip(rows, probabilities, strict=True):
            predicted = self._predicted(found)
            if self._form == "jsonl":
                self._text.write(json.dumps({**row.values, **predicted}, ensure_ascii=False) + "\n")
            else:
                values: Mapping[str, Any] = {**row.values, **predicted}
                self._csv.writerow([_cell(values.get(name)) for name in (*self._columns, *self._new)])

    def _predicted(self, found: Sequence[float]) -> dict[str, Any]:
        rounded = [float(f"{value:.6g}") for value in found]
        if self._regression:
            return {_LABEL: rounded[0]}
        best = max(range(len(found)), key=lambda number: found[number])
        return dict(zip(self._new, [self._labels[best], rounded[best], *rounded], strict=True))


def _cell(value: object) -> object:
    return value if value is None or isinstance(value, str | float | int) else json.dumps(value, ensure_ascii=False)


def _report(bad: Sequence[BadRecord], done: int, name: str, output: str) -> None:
    """Tell of bad rows, and keep them in a file beside the output."""
    apart = None if output == "-" else Path(f"{output}.bad.jsonl")
    if apart is not None:
        apart.unlink(missing_ok=True)
    if not bad:
        return
    for row in bad[:_TOLD]:
        print(f"{name}, line {row.line}: {row.reason}", file=sys.stderr)
    where = ""
    if apart is not None:
        write_text(apart, "".join(json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in bad))
        where = f"; {apart} has them all"
    print(f"{name}: {len(bad)} of {done} rows are bad and were left out{where}", file=sys.stderr)
