"""Standard input, output and error of a command: they may be closed, and whoever reads may go away."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["OutputLostError", "standard_streams"]

# Commands whose results go to standard output; those of the others are files.
_PRINTING = ("predict-file", "test", "validate")
# Nobody reads any more: the pipe's reader or the terminal is gone, or the stream was closed from the start.
_NOBODY = (errno.EPIPE, errno.EIO, errno.EBADF)
_ALL = errno.errorcode


class OutputLostError(Exception):
    """Standard output could not be written; no OSError, which libraries take for one of their own files."""

    def __init__(self, reason: OSError) -> None:
        """Keep the reason.

        Args:
            reason: What the system said.
        """
        super().__init__(str(reason))
        self.reason = reason


class Output(io.FileIO):
    """A standard stream for writing, below its buffer.

    Args:
        descriptor: Number of the stream; it stays open.
        forgiven: Numbers of the errors after which what was to be written is dropped; the others raise
            `OutputLostError`.
    """

    def __init__(self, descriptor: int, forgiven: Container[int]) -> None:
        """Take the stream over."""
        super().__init__(descriptor, "w", closefd=False)
        self.forgiven = forgiven

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or drop what cannot be written."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno in self.forgiven:
                return memoryview(data).nbytes
            raise OutputLostError(error) from error


@contextmanager
def standard_streams(command: str) -> Iterator[None]:
    """Take over the standard streams of this process for a command.

    Training and whatever else leaves files goes on when nobody sees its progress any more. A command whose result
    is what it prints ends: quietly with status 141 when the reader of a pipe is gone, as other programs that
    SIGPIPE kills, else with one line and status 2.

    Args:
        command: Such as ``run``.
    """
    prints = command in _PRINTING
    _open_closed(prints)
    output = Output(1, () if prints else _NOBODY)
    sys.stdout = _text(output, sys.stdout)
    sys.stderr = _text(Output(2, _ALL), sys.stderr)  # there is no other place to say so
    try:
        try:
            yield
        except SystemExit as end:
            if end.code:  # why is on standard error, and counts for more
                output.forgiven = _ALL
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except OutputLostError as lost:
        output.forgiven = _ALL  # for what is still in its buffer
        if lost.reason.errno == errno.EPIPE:
            sys.exit(128 + signal.SIGPIPE)
        from pipeline.parsing.errors import fail

        fail(f"standard output: {lost.reason.strerror}")


def _open_closed(prints: bool) -> None:
    """Open closed streams: the next file that is opened would take their numbers, and get what is printed."""
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY if prints else os.O_WRONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest free number; of a result, writing fails
            os.set_inheritable(number, True)
            if number == 0:
                sys.stdin = open(0, closefd=False)  # noqa: SIM115 - to the end of the process


def _text(output: Output, before: TextIO | None) -> TextIO:
    """A text stream over it, like the one before; None was closed."""
    encoding, errors = ("utf-8", "backslashreplace") if before is None else (before.encoding, before.errors)
    lines = before is None or (isinstance(before, io.TextIOWrapper) and before.line_buffering)
    through = isinstance(before, io.TextIOWrapper) and before.write_through
    return io.TextIOWrapper(
        io.BufferedWriter(output), encoding=encoding, errors=errors, line_buffering=lines, write_through=through
    )
