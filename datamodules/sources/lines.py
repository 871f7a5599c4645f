"""Decoding a file's bytes to numbered lines that can be put back."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from stark.errors import StarkError

__all__ = ["Line", "Lines", "decoded", "is_unicode", "numbered_lines"]

_BYTE_ORDER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Exceptions that gzip raises for a damaged file.
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)

Line = tuple[int, str]
"""A line's number, counted from 1, and its text with its end."""


class Lines:
    """Lines that can be put back.

    Examples:
        >>> lines = Lines(iter([(1, "a"), (2, "b"), (3, "c")]))
        >>> taken = [next(lines), next(lines)]
        >>> lines.put_back(taken[1:])
        >>> list(lines)
        [(2, 'b'), (3, 'c')]
    """

    def __init__(self, lines: Iterator[Line]) -> None:
        """Start before the first line."""
        self._lines, self._ahead = lines, deque[Line]()

    def __iter__(self) -> Iterator[Line]:
        """Return these lines."""
        return self

    def __next__(self) -> Line:
        """Return the next line."""
        return self._ahead.popleft() if self._ahead else next(self._lines)

    def put_back(self, lines: Sequence[Line]) -> None:
        """Give lines again, before those that have not been read yet.

        Args:
            lines: The lines, in their order in the file.
        """
        self._ahead.extendleft(reversed(lines))


@contextmanager
def decoded(stream: BinaryIO, encoding: str | None) -> Iterator[tuple[io.TextIOWrapper, str]]:
    """Decode a stream; bytes that cannot be decoded become surrogates.

    Args:
        stream: The bytes; it stays open.
        encoding: Name of the encoding; None for UTF-8, or for UTF-16 if the bytes start with its byte order mark.

    Yields:
        The text, and the name of its encoding.

    Raises:
        StarkError: The stream is a compressed file that is damaged.
    """
    buffered: Any = stream if hasattr(stream, "peek") else io.BufferedReader(cast(io.RawIOBase, stream))
    try:
        if encoding is None:
            encoding = "utf-16" if buffered.peek(2).startswith(_BYTE_ORDER_MARKS) else "utf-8-sig"
        errors = "surrogatepass" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
        text = io.TextIOWrapper(buffered, encoding=encoding, errors=errors, newline="")
    except _DAMAGED as error:
        raise _unreadable(error, 1) from error
    try:
        yield text, encoding
    finally:
        text.detach()
        if buffered is not stream:
            buffered.detach()


def numbered_lines(text: io.TextIOWrapper) -> Iterator[Line]:
    r"""Yield number and text of each line; lines end with line feeds, or with carriage returns as on old Macs.

    Args:
        text: The text, from `decoded`.

    Yields:
        The number, counted from 1, and the line with its end.

    Raises:
        StarkError: The bytes are not in the encoding, or the compressed file is damaged.

    Examples:
        >>> list(numbered_lines(io.TextIOWrapper(io.BytesIO(b"a\r\nb"), newline="")))
        [(1, 'a\r\n'), (2, 'b')]
    """
    number, held = 0, ""
    try:
        first = next(text, "")
        second = next(text, "")
        # All carriage returns before a line feed are part of the line end: two conversions give \r\r\n.
        ends_at_returns = first.endswith("\r") and not second.endswith("\n")
        for pieces in ((first, second), text):
            for piece in pieces:
                held += piece
                if held and (not held.endswith("\r") or ends_at_returns):
                    number, line, held = number + 1, held, ""
                    yield number, line
    except (UnicodeDecodeError, *_DAMAGED) as error:
        raise _unreadable(error, number + 1) from error
    if held:
        yield number + 1, held


def is_unicode(text: str) -> bool:
    r"""Whether a text can be encoded as UTF-8; halves of surrogate pairs cannot.

    Examples:
        >>> is_unicode("caf\u00e9"), is_unicode("\ud83d")
        (True, False)
    """
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _unreadable(error: Exception, number: int) -> ValueError:
    if isinstance(error, UnicodeDecodeError):
        return StarkError(f"line {number} or one after it: not {error.encoding} ({error.reason})")
    return StarkError(f"line {number} or one after it: the compressed file is damaged or cut ({error})")
