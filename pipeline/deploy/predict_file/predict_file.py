"""`stark predict-file`: predicts labels and probabilities for the rows of a user's file."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from jsonargparse import Namespace
from transformers import PreTrainedConfig

from datamodules.sources.records import BadRecord, Record, Records, open_records
from datamodules.sources.source import empty_texts_note
from datamodules.tasks.record_format import record_format
from datamodules.tokens.truncation import Truncation
from pipeline.deploy.classifier import Classified, Classifier, open_classifier
from pipeline.deploy.model_data import config_of, texts_of
from pipeline.deploy.predict_file.bad_rows import BadRows
from pipeline.deploy.predict_file.files import STANDARD_OUTPUT, check_outputs, opened, target_format, written
from pipeline.deploy.predict_file.writer import RowWriter
from pipeline.parsing.plain_text import printable
from pipeline.parsing.progress import Advance, step
from stark.errors import StarkError
from stark.model_folders.input_checks import check_segments, most_tokens

__all__ = ["predict_file"]

_USUAL = ("text", "text_pair")
# Number of rows that are read, sorted by length, classified and written together.
_CHUNK = 4096
# The fraction of bad rows above which the command fails: a few are usual, many are the sign of a wrong format.
_MOST_BAD = 0.1


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
        stream, size = stack.enter_context(opened(options.input))
        form = record_format(options.input, stream.peek(1000), **given)  # type: ignore[attr-defined]  # both kinds have it
        target = target_format(options.output, form)
        bad = BadRows(
            name, check_outputs(options.input, options.output, target, options.overwrite), options.overwrite, stack
        )
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
        output = stack.enter_context(written(options.output, target, options.overwrite))
        writer = RowWriter(output, target, records, classifier, columns, name, options.escape_formulas)
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
    if output in STANDARD_OUTPUT and sys.stdout is not None and sys.stdout.isatty():
        yield lambda *_: None
    else:
        with step(f"classifying {name}", total=size) as advance:
            yield advance


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
