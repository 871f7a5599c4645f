"""`stark predict-file`: predicts labels and probabilities for the rows of a user's file."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

from jsonargparse import Namespace
from transformers import PreTrainedConfig

from datamodules.sources.lines import is_unicode
from datamodules.sources.records import BadRecord, Record, Records, open_records, spelled
from datamodules.sources.several_labels import joined_labels
from datamodules.sources.source import empty_texts_note
from datamodules.tasks.record_format import RecordFormat, record_format
from datamodules.tokens.truncation import Truncation
from pipeline.deploy.classifier import Classified, Classifier, open_classifier
from pipeline.deploy.model_data import config_of, texts_of
from pipeline.parsing.plain_text import printable
from pipeline.parsing.progress import Advance, step
from stark.errors import StarkError, StarkFileNotFoundError
from stark.model_folders.input_checks import check_segments, most_tokens
from stark.storage import check_output, is_stream, open_output

__all__ = ["predict_file"]

_USUAL = ("text", "text_pair")
_LABEL, _PROBABILITY = "predicted", "probability"
# Number of rows that are read, sorted by length, classified and written together.
_CHUNK = 4096
# Number of bad rows that are reported one by one if all of them are written to a file.
_TOLD = 10
# The fraction of bad rows above which the command fails: a few are usual, many are the sign of a wrong format.
_MOST_BAD = 0.1
_STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1")
_HALVES = re.compile("[\ud800-\udfff]")
# The beginning of cells that a spreadsheet takes for formulas.
_FORMULA = re.compile(r"[=+\-@\t\r\n]")
# A file for csv.writer whose `write` returns the line, so that `writerow` returns it, too.
_RETURNING = SimpleNamespace(write=lambda line: line)


def predict_file(options: Namespace) -> None:
    """Run `stark predict-file`.

    Args:
        options: Its command line, parsed.

    Raises:
        StarkError: If an option is wrong, or the model, the file or a column does not exist.
        SystemExit: With status 1 if too many rows are bad.
    """
    if options.batch_size < 1:
        raise StarkError(f"batch_size is {options.batch_size} but must be at least 1")
    folder, name = Path(options.model), "standard input" if options.input == "-" else options.input
    given = {key: getattr(options, key) for key in ("delimiter", "quoting", "encoding", "header")}
    with ExitStack() as stack:
        stream, size = stack.enter_context(_opened(options.input))
        form = record_format(options.input, stream.peek(1000), **given)  # type: ignore[attr-defined]  # both kinds have it
        target = _target(options.output, form)
        bad = _BadRows(name, _check_outputs(options, target), options.overwrite, stack)
        with step(f"loading {folder}"):
            classifier = open_classifier(folder, options.max_length, windows=options.windows)
        with _naming(name):
            records = stack.enter_context(open_records(stream, form))
        chunks = _chunks(_named(records, name))
        first = next(chunks, [])
        try:
            columns = _columns(first, folder, options.text, options.text_pair, name)
        except ValueError as error:
            raise StarkError(f"{error}{records.hint if len(records.columns or ()) == 1 else ''}") from error
        if len(columns) == 2:  # whether a foreign model takes pairs is not recorded
            check_segments(config_of(folder), classifier.tokenizer, options.model)
        with _naming(name):
            records.check_columns(*columns)
        output = stack.enter_context(_written(options.output, target, options.overwrite))
        writer = _Writer(output, target, records, classifier, columns, name, options.escape_formulas)
        advance, done, empty = stack.enter_context(_progress(options.output, name, size)), 0, list[int]()
        lengths = _Lengths(classifier, config_of(folder))
        for chunk in itertools.chain([first], chunks):
            good = []
            for row in chunk:
                reason = row.reason if isinstance(row, BadRecord) else writer.refuses(row)
                if reason is not None:
                    bad.add(BadRecord(row.line, reason, row.raw))
                elif isinstance(row, Record):
                    good.append(row)
            empty += [row.line for row in good if not all(row.text(column).strip() for column in columns)]
            if good:
                found = _classified(classifier, good, columns, options.batch_size)
                lengths.add(found)
                writer.write(good, found)
            done += len(chunk)
            advance(f"{done:,} rows", None if size is None else stream.tell())
    bad.report(done)
    notes = [*records.notes, *([empty_texts_note(empty)] if empty else []), *lengths.notes, *writer.notes]
    for note in notes:
        print(printable(f"{name}: {note}"), file=sys.stderr)
    if bad.count > _MOST_BAD * done:
        sys.exit(1)


@contextmanager
def _progress(output: str, name: str, size: int | None) -> Iterator[Advance]:
    """Show the progress, unless the rows themselves appear on the terminal, where a moving line would disturb them."""
    if output in _STANDARD_OUTPUT and sys.stdout is not None and sys.stdout.isatty():
        yield lambda *_: None
    else:
        with step(f"classifying {name}", total=size) as advance:
            yield advance


@contextmanager
def _opened(name: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """Open the input; yields its stream of bytes and its size, None if that is unknown."""
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


@contextmanager
def _written(name: str, target: RecordFormat, overwrite: bool) -> Iterator[BinaryIO]:
    """Open the output; a file appears only when it is complete."""
    if name in _STANDARD_OUTPUT:
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


def _target(name: str, form: RecordFormat) -> RecordFormat:
    """The format of the output: that of its file name's ending, or else that of the input."""
    if name in _STANDARD_OUTPUT or not Path(name).suffixes:
        return replace(form, compressed=False, parquet=False)
    target = record_format(name)
    if target.parquet:
        raise StarkError(f"{name}: predictions are written as .csv, .tsv or .jsonl: choose one of these endings")
    is_other_csv = not form.json_lines and target.delimiter == "," and form.delimiter != "\t"
    return replace(target, delimiter=form.delimiter) if is_other_csv else target


def _check_outputs(options: Any, target: RecordFormat) -> Path | None:  # noqa: ANN401 - jsonargparse's namespace
    """Refuse outputs that would replace other files, before the model is loaded; returns the file for bad rows."""
    if options.output in _STANDARD_OUTPUT:
        return None
    output = Path(options.output)
    apart = None if is_stream(output) else Path(f"{output}.bad.jsonl")
    for path in filter(None, (output, apart)):
        if options.input != "-" and Path(options.input).is_file() and path.resolve() == Path(options.input).resolve():
            raise StarkError(f"{path} is the input, whose bad rows would be lost: choose another --output")
    check_output(output, overwrite=options.overwrite, is_ours=lambda path: _is_output(path, target))
    if apart is not None:
        check_output(apart, overwrite=options.overwrite, is_ours=_are_bad_rows)
    return apart


def _is_output(path: Path, target: RecordFormat) -> bool:
    """Whether a file is an earlier output, judged by its last columns and their values, or is empty."""
    if not path.is_file() or not path.stat().st_size:
        return path.is_file()
    try:
        with path.open("rb") as stream, open_records(stream, replace(target, header=True, encoding=None)) as records:
            named = records.columns is None or _LABEL in records.columns
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
    cells = dict(itertools.dropwhile(lambda cell: cell[0] != _LABEL, zip(row.columns, row.cells, strict=True)))
    names = list(cells)
    try:
        if names == [_LABEL]:
            score = spelled(cells[_LABEL])
            return score == spelled(_rounded(float(score)))
        numbers = {name: float(spelled(cells[name])) for name in names[1:]}
    except ValueError:
        return False
    if _PROBABILITY not in names:
        return _has_several(cells[_LABEL], {name.removeprefix(f"{_PROBABILITY}_"): numbers[name] for name in numbers})
    own = f"{_PROBABILITY}_{spelled(cells.get(_LABEL))}"
    labels = {name: number for name, number in numbers.items() if name != _PROBABILITY}
    return (
        names[1:2] == [_PROBABILITY]
        and all(name.startswith(f"{_PROBABILITY}_") for name in labels)
        and own in labels
        and labels[own] == numbers[_PROBABILITY]
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


def _are_bad_rows(path: Path) -> bool:
    """Whether a file contains the bad rows of an earlier call, or is empty."""
    if not path.is_file() or not path.stat().st_size:
        return path.is_file()
    with path.open("rb") as stream, open_records(stream, RecordFormat(json_lines=True)) as records:
        first = next(iter(records), None)
    return isinstance(first, Record) and set(first.columns) | {"row"} == {*BadRecord._fields[:2], "row"}


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise StarkError(f"{name}: {error}") from error


def _named(records: Records, name: str) -> Iterator[Record | BadRecord]:
    with _naming(name):
        yield from records


def _chunks(rows: Iterator[Record | BadRecord]) -> Iterator[list[Record | BadRecord]]:
    while chunk := list(itertools.islice(rows, _CHUNK)):
        yield chunk


def _columns(
    rows: Sequence[Record | BadRecord], folder: Path, text: str | None, pair: str | None, name: str
) -> tuple[str, ...]:
    """The columns of the texts: those given as options, else the usual ones, else those of the model's task."""
    known = list(dict.fromkeys(column for row in rows if isinstance(row, Record) for column in row.values))
    if not known:
        first = next((f", line {row.line}: {row.reason};" for row in rows if isinstance(row, BadRecord)), ":")
        raise StarkError(f"{name}{first} there is no row that can be read")
    trained = texts_of(folder)
    own = _USUAL if trained is None else trained
    if text is None:
        usual = [names for names in (_USUAL[: len(own)], own) if names[0] in known]
        if not usual:
            raise StarkError(f"{name} has the columns {', '.join(known)}: name the column of the text by --text")
        text = usual[0][0]
        pair = pair or next((column for column in usual[0][1:] if column in known), None)
    chosen = (text,) if pair is None else (text, pair)
    for column in chosen:
        if column not in known:
            raise StarkError(f"{name} has no column {column!r}, only {', '.join(known)}")
    if trained is not None and len(chosen) != len(own):
        single = "single texts: give no --text_pair"
        wanted = "pairs: name the second column by --text_pair" if len(own) == 2 else single
        raise StarkError(f"{folder} was trained on {wanted}")
    return chosen


def _classified(classifier: Classifier, rows: Sequence[Record], columns: Sequence[str], batch_size: int) -> Classified:
    texts = [[row.text(column) for row in rows] for column in columns]
    return classifier(texts[0], texts[1] if len(texts) > 1 else None, batch_size)


class _Lengths:
    """Counts the rows that have more tokens than the model takes."""

    def __init__(self, classifier: Classifier, config: PreTrainedConfig) -> None:
        self._classifier, self._most = classifier, most_tokens(config)
        self._truncation, self._rows, self._windows = Truncation(), 0, 0

    def add(self, found: Classified) -> None:
        self._truncation = self._truncation.and_of(found.truncation)
        self._rows, self._windows = self._rows + found.in_windows, self._windows + found.windows

    @property
    def notes(self) -> list[str]:
        """Remarks on these rows, for the user."""
        longest, notes = self._classifier.max_length, []
        if self._rows:
            rows = "1 row has" if self._rows == 1 else f"{self._rows:,} rows have"
            what = "probabilities" if self._classifier.problem.has_classes else "scores"
            notes.append(f"{rows} more than {longest} tokens: the means of the {what} of {self._windows:,} windows")
        if self._truncation.cut:
            ways = [f"--max_length (at most {self._most})"] if longest < self._most else []
            ways += ["shorter first texts"] if self._classifier.windows else ["--windows"]
            notes.append(f"{self._truncation.told(longest)}: give {' or '.join(ways)}")
        return notes


class _Writer:
    """Writes rows with their predictions, in UTF-8. In a table all rows have the columns of the first one."""

    def __init__(
        self,
        stream: BinaryIO,
        form: RecordFormat,
        records: Records,
        classifier: Classifier,
        texts: Sequence[str],
        name: str,
        escape_formulas: bool,
    ) -> None:
        self._stream, self._form, self._texts, self._labels = stream, form, texts, classifier.label_names
        self._problem, self._separator = classifier.problem, classifier.separator
        self._escape, self._formulas = escape_formulas, 0
        self._new = [_LABEL]
        if self._problem.several:
            self._new += [f"{_PROBABILITY}_{label}" for label in self._labels]
        elif self._problem.has_classes:
            self._new += [_PROBABILITY, *(f"{_PROBABILITY}_{label}" for label in self._labels)]
        self._columns: tuple[str, ...] | None = None
        if records.columns is None:
            return
        if taken := [column for column in self._new if column in records.columns]:
            raise StarkError(f"{name} has a column {taken[0]!r} already: rename it")
        if form.json_lines and len(set(records.columns)) < len(records.columns):
            raise StarkError(
                f"{name} has columns of the same name, which JSON lines cannot hold: choose another --output"
            )
        self._start(records.columns)

    @property
    def notes(self) -> list[str]:
        """Remarks on the rows that were written, for the user."""
        if not self._formulas:
            return []
        cells = "1 cell looks" if self._formulas == 1 else f"{self._formulas} cells look"
        done = "and got a ' in front" if self._escape else "to a spreadsheet: --escape_formulas puts a ' in front"
        return [f"{cells} like a formula {done}"]

    def refuses(self, row: Record) -> str | None:
        """The reason why a row cannot be classified or written; None if it can."""
        try:
            for column in self._texts:
                row.text(column)
        except ValueError as error:
            return str(error)
        if row.columns is self._columns:
            return None
        if taken := [column for column in self._new if column in row.columns]:
            return f"it has a column {taken[0]!r} already: rename it"
        if not self._form.json_lines:
            for column, cell in zip(row.columns, row.cells, strict=True):
                if not is_unicode(column + _spelled(cell)):
                    return f"{column} has half a surrogate pair, which a table cannot hold"
                if self._columns is not None and column not in self._columns:
                    return f"it has the column {column}, which the first row lacks"
            if self._columns is None:
                self._start(row.columns)
        return None

    def write(self, rows: Sequence[Record], found: Classified) -> None:
        each = zip(rows, found.predictions.tolist(), found.probabilities.tolist(), strict=True)
        for row, prediction, probabilities in each:
            predicted = self._predicted(prediction, probabilities)
            if not self._form.json_lines:
                assert self._columns is not None
                values = row.values
                own = row.cells if row.columns is self._columns else [values.get(name) for name in self._columns]
                self._write_cells([_spelled(cell) for cell in (*own, *predicted.values())])
            elif row.columns is self._columns:
                self._write(json.dumps({**row.values, **predicted}, ensure_ascii=False))
            else:
                # Copied from the file, so that numbers and halves of surrogate pairs keep their spelling.
                self._write(f"{row.raw[:-1].rstrip()}, {json.dumps(predicted, ensure_ascii=False)[1:]}")

    def _start(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        if not self._form.json_lines:
            self._write_cells([*columns, *self._new])

    def _write_cells(self, cells: Iterable[str]) -> None:
        # With this line terminator csv also quotes fields that contain a single carriage return.
        writer = csv.writer(_RETURNING, delimiter=self._form.delimiter, lineterminator="\r\n")
        line: str = writer.writerow([self._safe(cell) for cell in cells])
        self._write(line.removesuffix("\r\n"))

    def _safe(self, cell: str) -> str:
        if not _is_formula(cell):
            return cell
        self._formulas += 1
        return f"'{cell}" if self._escape else cell

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n".encode())

    def _predicted(self, prediction: Any, probabilities: Sequence[float]) -> dict[str, Any]:  # noqa: ANN401 - see below
        """The new columns of a row, whose prediction is a score, the number of a class, or a mark for each class."""
        rounded = [_rounded(value) for value in probabilities]
        if self._problem.several:
            labels = [label for label, has in zip(self._labels, prediction, strict=True) if has]
            own = labels if self._form.json_lines else joined_labels(labels, self._separator)
            return dict(zip(self._new, [own, *rounded], strict=True))
        if not self._problem.has_classes:
            return {_LABEL: _rounded(prediction)}
        label = int(prediction)
        return dict(zip(self._new, [self._labels[label], rounded[label], *rounded], strict=True))


class _BadRows:
    """Counts bad rows and writes them to a file next to the output; without bad rows there is no file."""

    def __init__(self, name: str, apart: Path | None, overwrite: bool, stack: ExitStack) -> None:
        self._name, self._apart, self._overwrite, self._stack = name, apart, overwrite, stack
        self._stream: BinaryIO | None = None
        self._told: list[str] = []
        self.count = 0

    def add(self, row: BadRecord) -> None:
        self.count += 1
        if self._apart is None or self.count <= _TOLD:
            self._told.append(f"{self._name}, line {row.line}: {row.reason}")
        if self._apart is not None:
            if self._stream is None:
                kept = open_output(self._apart, overwrite=self._overwrite, is_ours=_are_bad_rows)
                self._stream = self._stack.enter_context(kept)
            values = {"line": row.line, "reason": row.reason, "row": row.raw}
            self._stream.write(f"{json.dumps(_without_halves(values), ensure_ascii=False)}\n".encode())

    def report(self, done: int) -> None:
        """Report the bad rows. If there are none, an earlier call's file of bad rows is removed."""
        if self._apart is not None and self._stream is None:
            self._apart.unlink(missing_ok=True)
        for line in self._told:
            print(printable(line), file=sys.stderr)
        if self.count:
            where = "" if self._apart is None else f"; {self._apart} has them all"
            line = f"{self._name}: {self.count} of {done} rows are bad and were left out{where}"
            print(printable(line), file=sys.stderr)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _spelled(cell: object) -> str:
    return "" if cell is None else spelled(cell)


def _is_formula(cell: str) -> bool:
    """Whether a spreadsheet takes a cell for a formula; numbers with a sign are not formulas.

    Examples:
        >>> _is_formula("=1+1"), _is_formula("-5.5"), _is_formula("- a list")
        (True, False, True)
    """
    if _FORMULA.match(cell) is None:
        return False
    try:
        float(cell)
    except ValueError:
        return True
    return False


def _without_halves(values: dict[str, Any]) -> dict[str, Any]:
    """The values, with escape sequences instead of undecodable bytes and of halves of surrogate pairs."""

    def spelt(half: re.Match[str]) -> str:
        code = ord(half[0])
        return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"

    return {key: _HALVES.sub(spelt, value) if isinstance(value, str) else value for key, value in values.items()}
