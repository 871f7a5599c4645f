r"""Reading people's own rows: CSV, TSV or JSON lines, each row with the number of its line, bad ones apart."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Literal, NamedTuple

__all__ = ["BadRecord", "Record", "RecordFormat", "read_records", "record_format"]

RecordFormat = Literal["csv", "tsv", "jsonl"]

# Far beyond any text; the csv module's own is 131,072 characters.
_LONGEST_FIELD = 10_000_000


class Record(NamedTuple):
    """A row.

    Attributes:
        line: of the file, counted from 1, on which it starts.
        values: by column; of JSON lines whatever JSON has.
    """

    line: int
    values: Mapping[str, object]


class BadRecord(NamedTuple):
    """A row that cannot be read.

    Attributes:
        line: of the file, counted from 1, on which it starts.
        reason: what is wrong with it.
    """

    line: int
    reason: str


def record_format(name: str, first: bytes = b"") -> RecordFormat:
    """Tell the format of a file.

    Args:
        name: of the file; its ending decides.
        first: the first bytes, which decide where the name has no ending.

    Raises:
        ValueError: if the ending is another one.

    Examples:
        >>> record_format("rows.JSONL"), record_format("-", b' {"text": 1}'), record_format("-", b"text")
        ('jsonl', 'jsonl', 'csv')
    """
    ending = name.rsplit("/", 1)[-1].rpartition(".")[2].lower() if "." in name else ""
    if not ending:
        return "jsonl" if first.lstrip().startswith(b"{") else "csv"
    if ending in ("jsonl", "ndjson"):
        return "jsonl"
    if ending == "csv":
        return "csv"
    if ending == "tsv":
        return "tsv"
    raise ValueError(f"{name}: its ending is none of .csv, .tsv, .jsonl")


def read_records(stream: BinaryIO, form: RecordFormat) -> Iterator[Record | BadRecord]:
    r"""Read rows one by one, so that a file need not fit into memory.

    The first line of CSV and TSV names the columns; fields may be quoted, and then hold line breaks.

    Args:
        stream: of bytes, UTF-8 with or without a byte order mark.
        form: how it is written.

    Yields:
        Every row, or what is wrong with it. Empty lines are left out.

    Raises:
        ValueError: if there are no columns, or two of the same name.

    Examples:
        >>> import io
        >>> for row in read_records(io.BytesIO(b'text,stars\n"so, so",2\nmissing\n'), "csv"):
        ...     print(row)
        Record(line=2, values={'text': 'so, so', 'stars': '2'})
        BadRecord(line=3, reason='1 fields, the first line has 2')
    """
    # What is not UTF-8 becomes characters that no text has, so that only its own row is bad.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _json_lines(text) if form == "jsonl" else _table(text, "\t" if form == "tsv" else ",")
    finally:
        text.detach()


def _json_lines(text: io.TextIOWrapper) -> Iterator[Record | BadRecord]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        if not _is_text(line):
            yield BadRecord(number, "not UTF-8")
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield BadRecord(number, f"no JSON ({error})")
            continue
        yield Record(number, values) if isinstance(values, dict) else BadRecord(number, "no JSON object")


def _table(text: io.TextIOWrapper, delimiter: str) -> Iterator[Record | BadRecord]:
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if columns is None:
                raise ValueError(f"line {line} does not name the columns: {error}") from error
            yield BadRecord(line, str(error))
            continue
        if not fields:
            continue
        if columns is None:
            columns = fields
            if len(set(columns)) < len(columns):
                twice = next(name for name in columns if columns.count(name) > 1)
                raise ValueError(f"line {line} names the column {twice!r} twice")
        elif not all(map(_is_text, fields)):
            yield BadRecord(line, "not UTF-8")
        elif len(fields) != len(columns):
            yield BadRecord(line, f"{len(fields)} fields, the first line has {len(columns)}")
        else:
            yield Record(line, dict(zip(columns, fields, strict=True)))
    if columns is None:
        raise ValueError("there is nothing in it: its first line must name the columns")


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
