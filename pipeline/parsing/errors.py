"""Users' errors: one line with what is wrong and where, and exit status 2."""

from __future__ import annotations

import difflib
import errno
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser, Namespace, set_loader

from pipeline.parsing.plain_text import printable
from pipeline.parsing.plugins import IMPORTABLE
from pipeline.parsing.yaml_text import lines_of_keys, load_yaml, read_yaml_text
from stark.errors import StarkError
from stark.storage import ReadError, WriteError

__all__ = ["OneLineErrors", "errors_of", "fail", "mistake_of"]

_LONGEST = 1000
# Error numbers of the operating system that concern a path.
_REFUSALS = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.ELOOP),
    *(errno.ENAMETOOLONG, errno.ENOTEMPTY, errno.EXDEV, errno.ENXIO),
)
# The parser's message about an unknown name; for a name in a group it contains the group separately.
_UNKNOWN = re.compile(
    r"(?:(?:Group '(?P<group>[\w.]+)'|Subcommand '\w+') does not accept option '"
    r"|Option '(?=[\w.]+' is not accepted)|unrecognized arguments: --)(?P<name>[\w.]+)"
)

# The parser's message about the value of a known name.
_KNOWN = re.compile(r'Parser key "(?P<name>[\w.]+)"')

# The parser's message about the import path of a class that a value may not name.
_DENIED = re.compile(r"Importing '(?P<path>[\w.]+)' is not allowed")

# The files that the command line has named so far, and the file that is being read. These are global, because parsers
# create further parsers for parts of the command line, so no parser has the whole of it.
_NAMED: ContextVar[list[Path] | None] = ContextVar("named", default=None)
_AT_WORK: ContextVar[Path | None] = ContextVar("at_work", default=None)

# For files and also for values on the command line.
set_loader("yaml", load_yaml, exceptions=(yaml.YAMLError,))


def fail(message: str) -> NoReturn:
    """Print an error in one line and exit with status 2.

    Args:
        message: The message: what is wrong, where, and what to do.
    """
    line = " ".join(line.strip() for line in message.splitlines() if line.strip())
    if len(line) > _LONGEST:  # the parser quotes an invalid value, which may be a whole file
        line = f"{line[:_LONGEST]} ..."
    print(f"stark: error: {printable(line)}", file=sys.stderr)
    sys.exit(2)


def mistake_of(error: BaseException) -> BaseException | None:
    """Find the user's mistake, or the operating system's error about a path, that caused an exception.

    Args:
        error: A caught exception. If the parser raised it while it created one of our objects, the reason is in the
            chain of its causes.

    Returns:
        The exception whose message is printed as one line; None if the exception is a bug of the program.

    Examples:
        >>> mistake_of(StarkError("sparsity is 70"))
        StarkError('sparsity is 70')
        >>> mistake_of(KeyError("sparsity")) is None
        True
    """
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, (StarkError, ReadError, WriteError)):
            return current
        if isinstance(current, OSError) and current.errno in _REFUSALS and current.filename is not None:
            return current
        frames = traceback.extract_tb(current.__traceback__)
        if not frames or "jsonargparse" not in Path(frames[-1].filename).parts:
            return None
        current = current.__cause__ or current.__context__
    return None


@contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Report errors in a command line with the file that its options were taken from, and with the line there.

    Args:
        path: The file. The names of options are keys in one of its mappings.
    """
    token = _AT_WORK.set(path)
    try:
        yield
    finally:
        _AT_WORK.reset(token)


class OneLineErrors(ArgumentParser):
    """A parser that reports an error in the command line or a YAML file in one line, without the usage text."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message and exit with status 2.

        Args:
            message: The parser's message; for an unknown name the nearest known one is added.
            ex: Cause of the error; the message contains its text.
        """
        if denied := _DENIED.search(message):
            key = known["name"] if (known := _KNOWN.search(message)) else "class_path"
            fail(
                f"{_place(message)}{key}: {denied['path']} is not imported: name a class of {', '.join(IMPORTABLE)} "
                "or of your own Python file, given with --plugins FILE.py"
            )
        fail(_place(message) + message + _nearest(message, getattr(ex, "subcommand_parser", self)))

    @contextmanager
    def _denials_told(self) -> Iterator[None]:
        """Report a class that must not be imported, even if the parser does not catch its own error."""
        try:
            yield
        except ImportError as error:
            if _DENIED.search(str(error)) is None:
                raise
            self.error(str(error), error)

    def parse_args(self, *args: Any, **kwargs: Any) -> Namespace:  # type: ignore[override]  # noqa: ANN401
        """Parse a command line; errors in a file that it names are reported with the file and the line.

        Args:
            args: Arguments of the parent's method.
            kwargs: Keyword arguments of the parent's method.

        Returns:
            The parent's result.
        """
        token = _NAMED.set([]) if _NAMED.get() is None else None
        try:
            with self._denials_told():
                parsed: Namespace = super().parse_args(*args, **kwargs)
            return parsed
        finally:
            if token is not None:
                _NAMED.reset(token)

    def parse_path(self, path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Namespace:  # noqa: ANN401
        """Parse a file of settings; a file that is not text is reported as a user's error.

        Args:
            path: The file.
            args: Arguments of the parent's method.
            kwargs: Keyword arguments of the parent's method.

        Returns:
            The parent's result.
        """
        try:
            read_yaml_text(Path(path))
        except ValueError as error:
            fail(str(error))
        if (named := _NAMED.get()) is not None:
            named.append(Path(path))
        with errors_of(Path(path)), self._denials_told():
            parsed: Namespace = super().parse_path(path, *args, **kwargs)
        return parsed


def _place(message: str) -> str:
    """The file and line that a parser's message is about; empty if it is about the command line itself."""
    at_work, unknown, known = _AT_WORK.get(), _UNKNOWN.search(message), _KNOWN.search(message)
    name = _full_name(unknown) if unknown else known["name"] if known else ""
    if at_work is not None:
        lines = lines_of_keys(at_work)
        # For an error within a class, the parser gives only the name within that class.
        ends = [line for key, line in lines.items() if key.endswith(f".{name}")]
        line = lines.get(name, ends[0] if len(ends) == 1 else None)
        return f"{at_work}: " if line is None else f"{at_work}, line {line}: "
    if unknown is not None and not message.startswith("unrecognized"):
        # Names are checked after all files have been read; the last file with this name counts.
        for path in reversed(_NAMED.get() or []):
            if line := lines_of_keys(path).get(name):
                return f"{path}, line {line}: "
    return ""


def _full_name(unknown: re.Match[str]) -> str:
    return ".".join(part for part in unknown.group("group", "name") if part)


def _nearest(message: str, parser: ArgumentParser) -> str:
    """A hint at the nearest known name if a parser's message is about an unknown name; otherwise empty."""
    unknown = _UNKNOWN.search(message)
    if unknown is None:
        return ""
    near = difflib.get_close_matches(_full_name(unknown), [action.dest for action in parser._actions], n=1)
    return f": did you mean {near[0]}?" if near else "; --help lists what there is"
