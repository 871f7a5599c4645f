"""Standard input, output and error of a command, which may be closed or lose their reader."""

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

# Commands that write their results to standard output; the other commands write files.
_PRINTING = ("predict-file", "test", "validate")
# Errors without a reader: the pipe's reader or the terminal has gone, or the stream was closed from the start.
_NOBODY = (errno.EPIPE, errno.EIO, errno.EBADF)
_ALL = errno.errorcode


class OutputLostError(Exception):
    """Standard output could not be written; not an OSError, because libraries would relate it to their own files."""

    def __init__(self, reason: OSError) -> None:
        """Store the reason.

        Args:
            reason: The operating system's error.
        """
        super().__init__(str(reason))
        self.reason = reason


class Output(io.FileIO):
    """A standard stream for writing, below its buffer.

    Args:
        descriptor: File descriptor of the stream; it stays open.
        forgiven: Error numbers that are ignored, so that the data is dropped; the others raise `OutputLostError`.
    """

    def __init__(self, descriptor: int, forgiven: Container[int]) -> None:
        """Take the stream over."""
        super().__init__(descriptor, "w", closefd=False)
        self.forgiven = forgiven

    def write(self, data: ReadableBuffer, /) -> int:
        """Write data; drop it after an error that is ignored."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno in self.forgiven:
                return memoryview(data).nbytes
            raise OutputLostError(error) from error


@contextmanager
def standard_streams(command: str) -> Iterator[None]:
    """Take over the standard streams of this process for a command.

    When its output has no reader any more, training and other commands that write files continue. A command that prints
    its result ends: silently with status 141 if the reader of a pipe has gone, like programs that SIGPIPE kills;
    otherwise with one line and status 2.

    Args:
        command: Name of the command, such as ``run``.
    """
    prints = command in _PRINTING
    _open_closed(prints)
    output = Output(1, () if prints else _NOBODY)
    sys.stdout = _text(output, sys.stdout)
    sys.stderr = _text(Output(2, _ALL), sys.stderr)  # its errors cannot be reported anywhere
    try:
        try:
            yield
        except SystemExit as end:
            if end.code:  # the reason is on standard error, and matters more than lost output
                output.forgiven = _ALL
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except OutputLostError as lost:
        output.forgiven = _ALL  # for data that is still in the buffer
        if lost.reason.errno == errno.EPIPE:
            sys.exit(128 + signal.SIGPIPE)
        from pipeline.parsing.errors import fail

        fail(f"standard output: {lost.reason.strerror}")


def _open_closed(prints: bool) -> None:
    """Open closed streams: otherwise the next opened file would get their descriptors, and the printed text."""
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY if prints else os.O_WRONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest free number; writing a result to it fails
            os.set_inheritable(number, True)
            if number == 0:
                sys.stdin = open(0, closefd=False)  # noqa: SIM115 - to the end of the process


def _text(output: Output, before: TextIO | None) -> TextIO:
    """A text stream over an output, with the settings of the previous stream; None if that was closed."""
    encoding, errors = ("utf-8", "backslashreplace") if before is None else (before.encoding, before.errors)
    lines = before is None or (isinstance(before, io.TextIOWrapper) and before.line_buffering)
    through = isinstance(before, io.TextIOWrapper) and before.write_through
    return io.TextIOWrapper(
        io.BufferedWriter(output), encoding=encoding, errors=errors, line_buffering=lines, write_through=through
    )
