r"""Reading rows of users' files: CSV, TSV or JSON lines. Each row has its line number; invalid rows are separate.

No line is lost: each one is a row, is part of a row that spans several lines, is empty, or is in a `BadRecord`.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import BinaryIO, NamedTuple, cast

from datamodules.sources.lines import Line, Lines, decoded, is_unicode, numbered_lines
from datamodules.sources.parquet import parquet_lines
from datamodules.tasks.record_format import Quoting, RecordFormat
from stark.errors import StarkError

__all__ = ["BadRecord", "Record", "Records", "open_records", "spelled"]

# Longer than any text; the csv module's default is 131,072 characters.
_LONGEST_FIELD = 10_000_000
_NEEDS_QUOTES = re.compile(r'["\r]')
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_USUAL_DELIMITERS = ",;\t|"
_MOST_NAMES = 20
_CHOICE = "set quoting to none if quotation marks are text"
_UNCLOSED = f"a quotation mark that is opened here is never closed: {_CHOICE}"
_UNDOUBLED = 'text after a closing quotation mark (within a quoted field it is written twice, "")'


class Record(NamedTuple):
    """A row.

    Attributes:
        line: Number of the line on which the row starts, counted from 1.
        columns: Names of the columns; in a table two may be equal.
        cells: Values of the columns; in a table they are texts.
        raw: The row's text in the file, without the end of its last line.
    """

    line: int
    columns: Sequence[str]
    cells: Sequence[object]
    raw: str

    @property
    def values(self) -> dict[str, object]:
        """The value of each column; the last value if several columns have the same name."""
        return dict(zip(self.columns, self.cells, strict=True))

    def cell(self, column: str) -> object:
        """Return the value of a column.

        Args:
            column: Name of the column.

        Raises:
            StarkError: There is no such column, or there are two.
        """
        _check_column(self.columns, column)
        return self.cells[self.columns.index(column)]

    def text(self, column: str) -> str:
        """Return the text of a column; it may be empty.

        Args:
            column: Name of the column.

        Raises:
            StarkError: There is no such column, or its value is not a text.
        """
        value = self.cell(column)
        if not isinstance(value, str):
            raise StarkError(f"{column} is {spelled(value)[:100]}, not a text")
        if not is_unicode(value):
            raise StarkError(f"{column} has half a surrogate pair, which is no character")
        return value


class BadRecord(NamedTuple):
    """A row that cannot be read.

    Attributes:
        line: Number of the line on which the row starts, counted from 1.
        reason: Reason why it cannot be read.
        raw: The row's text in the file; bytes that cannot be decoded are surrogate escapes.
    """

    line: int
    reason: str
    raw: str


class Records:
    """The rows of a file; they can be iterated once.

    Attributes:
        columns: Names of a table's columns, unchanged from the file; None for JSON lines.
        hint: Possible reason why a column is not found; may be empty.
        other_delimiter: What separates the names of the columns, if the format's delimiter is not among them.
    """

    def __init__(self, lines: Iterator[Line], form: RecordFormat, encoding: str, *, is_guessed: bool = False) -> None:
        """Read the names of the columns.

        Args:
            lines: The file's lines with their ends.
            form: Format of the lines; "auto" is already resolved if it depends on the whole content.
            encoding: Encoding of the file.
            is_guessed: Whether only the look of the fields indicates that quotation marks quote.

        Raises:
            StarkError: The names of a table's columns cannot be read.
        """
        self._lines, self._form, self._encoding, self._is_guessed = Lines(lines), form, encoding, is_guessed
        self._spanning, self._first_spanning = 0, ""
        self._start = 1
        self.columns: tuple[str, ...] | None = None
        self.hint = ""
        self.other_delimiter: str | None = None
        if not form.json_lines:
            self._read_columns()

    @property
    def notes(self) -> list[str]:
        """Sentences on how the rows read so far were interpreted."""
        notes = []
        if self._encoding in ("utf-16", "utf-16-le", "utf-16-be") and self._form.encoding is None:
            notes.append("read as UTF-16 because of its byte order mark")
        if self._is_guessed:
            notes.append(
                "each quotation mark in it seems to quote: set quoting to none if they are text, to standard if not"
            )
        if self._spanning and self._form.quoting == "auto":
            rows = "1 row spans" if self._spanning == 1 else f"{self._spanning} rows span"
            first = f"first: lines {self._first_spanning}"
            notes.append(f"{rows} several lines ({first}): {_CHOICE}, to standard if this is right")
        return notes

    def check_columns(self, *wanted: str) -> None:
        """Check that a table has certain columns; JSON lines are not checked, as each row may have other keys.

        Args:
            wanted: Names of the columns.

        Raises:
            StarkError: A column is missing, or occurs twice.
        """
        for column in wanted if self.columns is not None else ():
            assert self.columns is not None
            try:
                _check_column(self.columns, column)
            except ValueError as error:
                line = f"line {self._start}: " if self._form.header else ""
                hint = "" if column in self.columns else self.hint
                if hint and column in (name.strip() for name in self.columns):
                    hint = " (there are spaces around it: name it with them, in quotation marks)"
                raise StarkError(f"{line}{error}{hint}") from error

    def __iter__(self) -> Iterator[Record | BadRecord]:
        """Yield each row as a `Record`, or as a `BadRecord` if it cannot be read; empty lines are skipped."""
        if self.columns is None:
            yield from self._json_lines()
            return
        for first in self._lines:
            if not first[1].strip("\r\n"):
                continue
            fields, taken, error = self._fields(first)
            if len(taken) > 1 and (reason := self._swallows(fields, taken, error)):
                self._lines.put_back(taken[1:])
                yield BadRecord(first[0], reason, first[1].rstrip("\r\n"))
                continue
            raw = "".join(line for _, line in taken).rstrip("\r\n")
            if not is_unicode(raw):
                yield BadRecord(first[0], self._not_text(), raw)
            elif fields is None:
                yield BadRecord(first[0], error, raw)
            elif len(fields) != len(self.columns):
                yield BadRecord(first[0], self._wrong_number(fields), raw)
            else:
                if len(taken) > 1:
                    self._spanning += 1
                    self._first_spanning = self._first_spanning or f"{first[0]} to {taken[-1][0]}"
                yield Record(first[0], self.columns, fields, raw)

    def _read_columns(self) -> None:
        first = next((line for line in self._lines if line[1].strip("\r\n")), None)
        if first is None:
            names = ": its first line must name the columns" if self._form.header else ""
            raise StarkError(f"there is nothing in it{names}")
        fields, taken, error = self._fields(first)
        self._start = number = first[0]
        raw = "".join(line for _, line in taken)
        if not is_unicode(raw):
            raise StarkError(f"line {number}: {self._not_text()}")
        if "\0" in raw and self._encoding == "utf-8-sig":
            raise StarkError(f"line {number} has zero bytes: set the encoding, perhaps utf-16-le")
        if fields is None and not self._form.header:
            fields = first[1].split(self._form.delimiter)
        if fields is None:
            raise StarkError(f"line {number} does not name the columns: {error}")
        other = max(_USUAL_DELIMITERS, key=raw.count)
        if len(fields) == 1 and raw.count(other):
            self.other_delimiter = other
            found = f"line {number} has no {self._form.delimiter!r} but {raw.count(other)} {other!r}"
            self.hint = f" ({found}: set the delimiter)"
        elif self._form.header:
            self.hint = f" (set header to false if line {number} is a row)"
        self.columns = tuple(fields)
        if not self._form.header:
            self.columns = tuple(map(str, range(len(fields))))
            self._lines.put_back(taken)

    def _fields(self, first: Line) -> tuple[list[str] | None, list[Line], str]:
        """Return a row's fields (None if it cannot be read), its lines and the error; the row starts with a line."""
        if self._form.quoting == "none" or '"' not in first[1]:
            return first[1].rstrip("\r\n").split(self._form.delimiter), [first], ""
        taken: list[Line] = []

        def pulled() -> Iterator[str]:
            taken.append(first)
            yield first[1]
            for line in self._lines:
                taken.append(line)
                yield line[1]

        csv.field_size_limit(_LONGEST_FIELD)
        try:
            return next(csv.reader(pulled(), delimiter=self._form.delimiter, strict=True)), taken, ""
        except csv.Error as error:
            if "expected after" in str(error):
                return None, taken, _UNDOUBLED
            if "unexpected end" in str(error) or "limit" in str(error):
                return None, taken, _UNCLOSED
            return None, taken, str(error)

    def _swallows(self, fields: list[str] | None, taken: Sequence[Line], error: str) -> str:
        """Return the error of a row that spans several lines, or an empty text; on error its lines are read again."""
        assert self.columns is not None
        end = taken[-1][0]
        lines = f"line {end}" if len(taken) == 2 else f"lines {taken[1][0]} to {end}"
        swallows = f"a quotation mark that is opened here swallows {lines}"
        if fields is None:
            return error if error == _UNCLOSED else f"{swallows}: {_CHOICE}"
        if self._form.quoting == "standard":
            return ""
        if len(fields) != len(self.columns):
            return f"{swallows}: {_CHOICE}"
        if self._look_like_rows([line for _, line in taken]):
            return f"{swallows}, which look like rows: {_CHOICE}, to standard if this is one text"
        return ""

    def _look_like_rows(self, lines: Sequence[str]) -> bool:
        """Whether each line of a row looks like a row itself, so that the quotation marks probably do not quote.

        Commas in prose are followed by a space or a line end, commas between fields are not. Two lines of prose may
        still look like two rows of a CSV; with tabs this does not happen.
        """
        assert self.columns is not None
        delimiter = self._form.delimiter
        if len(self.columns) == 1 or (len(lines) == 2 and delimiter != "\t"):
            return False

        def is_like_a_row(line: str) -> bool:
            fields = line.rstrip("\r\n").split(delimiter)
            if len(fields) != len(self.columns or ()) or any(field.startswith(" ") for field in fields[1:]):
                return False
            return len(fields) > 2 or delimiter == "\t" or fields[-1] != ""

        alike = [is_like_a_row(line) for line in lines]
        return alike[0] and alike[-1] and 2 * sum(alike) >= len(alike) + 2

    def _wrong_number(self, fields: Sequence[str]) -> str:
        assert self.columns is not None
        hint = self.hint if len(self.columns) == 1 else ""
        first = "the first line has" if self._form.header else "the first row has"
        return f"{len(fields)} fields, {first} {len(self.columns)}{hint}"

    def _json_lines(self) -> Iterator[Record | BadRecord]:
        for number, line in self._lines:
            raw = line.strip(" \t\r\n")
            if not raw:
                continue
            if not is_unicode(raw):
                yield BadRecord(number, self._not_text(), raw)
                continue
            try:
                values = json.loads(raw, parse_float=_Written, object_pairs_hook=_without_equal_keys)
            except (ValueError, RecursionError) as error:
                yield BadRecord(number, f"no JSON ({error})", raw)
                continue
            if isinstance(values, dict):
                yield Record(number, tuple(values), tuple(values.values()), raw)
            else:
                yield BadRecord(number, "no JSON object, of which JSON lines have one per line", raw)

    def _not_text(self) -> str:
        if self._encoding == "utf-8-sig":
            return "not UTF-8: set the encoding, such as latin-1 or cp1252"
        return f"not {self._encoding}"


@contextmanager
def open_records(stream: BinaryIO, form: RecordFormat) -> Iterator[Records]:
    r"""Read rows one by one, so that a file need not fit into memory.

    With the quoting "auto", quotation marks in a tab-separated file are text if each line has as many tabs as the first
    one. They quote if a line has another number of tabs, if all names of the columns are in quotation marks, or if each
    field with a quotation mark is in quotation marks and doubles those within. To find this out, a tab-separated file
    is read twice, and standard input is copied to a temporary file. In other tables quotation marks quote. If a
    quotation mark would make several lines that look like rows part of one row, only the row with the mark is invalid.

    Args:
        stream: The file's bytes.
        form: Format of the file.

    Yields:
        The rows.

    Raises:
        StarkError: There are no columns, or the bytes are not in the encoding.

    Examples:
        >>> import io
        >>> with open_records(io.BytesIO(b'text,stars\n"so, so",2\nmissing\n'), RecordFormat()) as records:
        ...     for row in records:
        ...         print(row)
        Record(line=2, columns=('text', 'stars'), cells=['so, so', '2'], raw='"so, so",2')
        BadRecord(line=3, reason='1 fields, the first line has 2', raw='missing')
    """
    is_guessed = False
    with ExitStack() as stack:
        if form.compressed:
            stream = cast(BinaryIO, stack.enter_context(gzip.open(stream)))
        if form.parquet:
            stream = stack.enter_context(parquet_lines(stream))
        if not form.json_lines and form.delimiter == "\t" and form.quoting == "auto":
            if not stream.seekable():
                kept = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(stream, kept)
                kept.seek(0)
                stream = kept
            start = stream.tell()
            with decoded(stream, form.encoding) as (text, _):
                quoting, is_guessed = _tab_quoting(numbered_lines(text))
            form = replace(form, quoting=quoting)
            stream.seek(start)
        with decoded(stream, form.encoding) as (text, encoding):
            yield Records(numbered_lines(text), form, encoding, is_guessed=is_guessed)


def spelled(value: object) -> str:
    """Return a value as JSON, but a text without quotation marks and a number unchanged from the file.

    Examples:
        >>> spelled("no"), spelled(True), spelled(None), spelled(["a"])
        ('no', 'true', 'null', '["a"]')
    """
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, _Written) else json.dumps(value, ensure_ascii=False)


class _Written(float):
    """A JSON number that keeps its spelling in the file."""

    def __new__(cls, text: str) -> _Written:
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str

    def __str__(self) -> str:
        return self.text


def _tab_quoting(lines: Iterator[Line]) -> tuple[Quoting, bool]:
    """Return the quoting that "auto" means for a tab-separated file, and whether only the fields' look indicates it."""
    tabs, quoted, others = None, False, False
    for _, line in lines:
        fields = line.rstrip("\r\n").split("\t")
        if fields == [""]:
            continue
        if tabs is None:
            tabs = len(fields)
            if all(len(name) > 1 and name[0] == name[-1] == '"' for name in fields):
                return "standard", False
        elif len(fields) != tabs:
            return "auto", False
        if '"' in line and not others:
            # A program that quotes does so in every field that needs it, doubles the quotation marks within, and
            # writes none outside of quoted fields.
            found = [_QUOTED.fullmatch(field) for field in fields if '"' in field]
            others = not all(found)
            quoted = quoted or any(match is not None and _NEEDS_QUOTES.search(match[1]) for match in found)
    return ("standard", True) if quoted and not others else ("none", False)


def _check_column(columns: Sequence[str], column: str) -> None:
    count = columns.count(column)
    if count > 1:
        raise StarkError(f"the column {column!r} is there more than once")
    if not count:
        names = ", ".join(map(repr, columns[:_MOST_NAMES])) + (", ..." if len(columns) > _MOST_NAMES else "")
        raise StarkError(f"no column {column!r}, only {names}")


def _without_equal_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise StarkError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return values
