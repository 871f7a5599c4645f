"""The format of a file of rows, from its ending and from the keys or options that describe it."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal, get_args

from datamodules.tasks.dataset_split import DatasetSplit
from stark.errors import StarkError

__all__ = ["Quoting", "RecordFormat", "record_format"]

Quoting = Literal["auto", "none", "standard"]

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_JSON_ENDINGS = ("jsonl", "ndjson", "parquet")
_PARQUET = "parquet"


@dataclass(frozen=True, kw_only=True)
class RecordFormat:
    """The format of a file of rows.

    Attributes:
        json_lines: Whether each line is a JSON object; otherwise the file is a table, and the next three apply.
        delimiter: Character that separates the fields of a table.
        quoting: "none" if quotation marks are text and each line is a row; "standard" if a field in quotation marks may
            contain delimiters and line ends; "auto" to infer it from the content, see `open_records`.
        header: Whether the first line names the columns; otherwise they are called 0, 1, ...
        encoding: Name of the encoding; None for UTF-8, or for UTF-16 if the file starts with its byte order mark.
        compressed: Whether the file is compressed by gzip.
        parquet: Whether it is a Parquet file, which is read as JSON lines.
        dataset: The split of a Hugging Face data set that is read as JSON lines in the place of a file.
    """

    json_lines: bool = False
    delimiter: str = ","
    quoting: Quoting = "auto"
    header: bool = True
    encoding: str | None = None
    compressed: bool = False
    # Not in the text of a format, which is part of older digests of other files.
    parquet: bool = field(default=False, repr=False)
    dataset: DatasetSplit | None = field(default=None, repr=False)


def record_format(
    name: str,
    first: bytes = b"",
    *,
    delimiter: str | None = None,
    quoting: Quoting | None = None,
    encoding: str | None = None,
    header: bool | None = None,
) -> RecordFormat:
    r"""Return the format of a file.

    Args:
        name: Name of the file. Its ending determines the format: .csv, .tsv, .jsonl or .ndjson, optionally with .gz,
            or .parquet.
        first: The first bytes of the file; they determine the format if the name has no ending.
        delimiter: A single character, or ``\t`` written as two characters; None for the delimiter of the ending.
        quoting: See `RecordFormat`; None for "auto".
        encoding: Any of Python's names; None for UTF-8, or for UTF-16 if the file starts with its byte order mark.
        header: Whether the first line names the columns; None for True.

    Raises:
        StarkError: The ending is not one of these, or a value is invalid.

    Examples:
        >>> record_format("rows.TSV").delimiter, record_format("rows.jsonl.gz").compressed
        ('\t', True)
        >>> record_format("-", b' {"text": 1}').json_lines, record_format("-", b"text").json_lines
        (True, False)
    """
    endings = [ending[1:].lower() for ending in PurePath(name).suffixes]
    compressed = endings[-1:] == ["gz"]
    ending = (endings[:-1] if compressed else endings)[-1:]
    if not ending and not compressed:
        ending = ["jsonl" if first.lstrip().startswith(b"{") else "csv"]
    json_lines = bool(ending) and ending[0] in _JSON_ENDINGS
    usual = _DELIMITERS.get(ending[0]) if ending else None
    if not json_lines and usual is None and delimiter is None:
        hint = "JSON lines (.jsonl) have one object per line" if ending == ["json"] else "of a table give the delimiter"
        raise StarkError(f"{name}: its ending is none of .csv, .tsv, .jsonl, with or without .gz, or .parquet: {hint}")
    for key, value in (("delimiter", delimiter), ("quoting", quoting), ("header", header)):
        if json_lines and value is not None:
            raise StarkError(f"{name}: {key} is {value!r}, but JSON lines have none")
    chosen = "\t" if delimiter == r"\t" else delimiter or usual or ","
    if len(chosen) != 1 or chosen in '"\r\n':
        raise StarkError(f"delimiter is {delimiter!r}: give a single character that is no quotation mark")
    if quoting is not None and quoting not in get_args(Quoting):
        raise StarkError(f"quoting is {quoting!r}: choose one of {', '.join(get_args(Quoting))}")
    return RecordFormat(
        json_lines=json_lines,
        delimiter=chosen,
        quoting=quoting or "auto",
        header=header is not False,
        encoding=_checked(encoding),
        compressed=compressed,
        parquet=ending == [_PARQUET],
    )


def _checked(encoding: str | None) -> str | None:
    """Return an encoding's usual name."""
    if encoding is None:
        return None
    try:
        "x".encode(encoding)  # refuses codecs that do not encode text, such as zlib
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError) as error:
        raise StarkError(f"encoding is {encoding!r}, which is not known: such are utf-8, utf-16, latin-1") from error
    return None if name in ("utf-8", "utf-8-sig") else name
