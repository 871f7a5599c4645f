"""The rows of a file that cannot be classified."""

from __future__ import annotations

import json
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from datamodules.sources.records import BadRecord, Record, open_records
from datamodules.tasks.record_format import RecordFormat
from pipeline.parsing.plain_text import printable
from stark.storage import open_output

__all__ = ["BadRows", "are_bad_rows"]

# Number of bad rows that are reported one by one if all of them are written to a file.
_TOLD = 10
_HALVES = re.compile("[\ud800-\udfff]")


class BadRows:
    """Counts bad rows and writes them to a file next to the output; without bad rows there is no file.

    Args:
        name: Name of the input in messages.
        apart: The file for bad rows; None if there is no place for one, and each of them is told.
        overwrite: Whether the file may replace anything.
        stack: Closes the file, which then appears under its name.
    """

    def __init__(self, name: str, apart: Path | None, overwrite: bool, stack: ExitStack) -> None:
        """Open nothing before the first bad row."""
        self._name, self._apart, self._overwrite, self._stack = name, apart, overwrite, stack
        self._stream: BinaryIO | None = None
        self._told: list[str] = []
        self.count = 0

    def add(self, row: BadRecord) -> None:
        """Count a row, and write it.

        Args:
            row: The row.
        """
        self.count += 1
        if self._apart is None or self.count <= _TOLD:
            self._told.append(f"{self._name}, line {row.line}: {row.reason}")
        if self._apart is not None:
            if self._stream is None:
                kept = open_output(self._apart, overwrite=self._overwrite, is_ours=are_bad_rows)
                self._stream = self._stack.enter_context(kept)
            values = {"line": row.line, "reason": row.reason, "row": row.raw}
            self._stream.write(f"{json.dumps(_without_halves(values), ensure_ascii=False)}\n".encode())

    def report(self, done: int) -> None:
        """Report the bad rows. If there are none, an earlier call's file of bad rows is removed.

        Args:
            done: Number of all rows.
        """
        if self._apart is not None and self._stream is None:
            self._apart.unlink(missing_ok=True)
        for line in self._told:
            print(printable(line), file=sys.stderr)
        if self.count:
            where = "" if self._apart is None else f"; {self._apart} has them all"
            line = f"{self._name}: {self.count} of {done} rows are bad and were left out{where}"
            print(printable(line), file=sys.stderr)


def are_bad_rows(path: Path) -> bool:
    """Whether a file contains the bad rows of an earlier call, or is empty.

    Args:
        path: The file.
    """
    if not path.is_file() or not path.stat().st_size:
        return path.is_file()
    with path.open("rb") as stream, open_records(stream, RecordFormat(json_lines=True)) as records:
        first = next(iter(records), None)
    return isinstance(first, Record) and set(first.columns) | {"row"} == {*BadRecord._fields[:2], "row"}


def _without_halves(values: dict[str, Any]) -> dict[str, Any]:
    """The values, with escape sequences instead of undecodable bytes and of halves of surrogate pairs."""

    def spelt(half: re.Match[str]) -> str:
        code = ord(half[0])
        return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"

    return {key: _HALVES.sub(spelt, value) if isinstance(value, str) else value for key, value in values.items()}
