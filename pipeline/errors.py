"""Errors of users: one line that says what is wrong and where, and exit status 2."""

from __future__ import annotations

import difflib
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser, Namespace, set_loader

from pipeline.yaml_text import load_yaml, read_yaml_text

__all__ = ["OneLineErrors", "fail", "own_error"]

_OWN_CODE = Path(__file__).resolve().parent.parent
_PACKAGES = ("callbacks", "datamodules", "lightning_modules", "pipeline", "storage")
_LONGEST = 1000
# What the parser says of names that it does not know; of a group's it says the group apart.
_UNKNOWN = re.compile(
    r"(?:(?:Group '(?P<group>[\w.]+)'|Subcommand '\w+') does not accept option '"
    r"|Option '(?=[\w.]+' is not accepted)|unrecognized arguments: --)(?P<name>[\w.]+)"
)

# For files and for values on the command line alike.
set_loader("yaml", load_yaml, exceptions=(yaml.YAMLError,))


def fail(message: str) -> NoReturn:
    """Print an error in one line and exit with status 2.

    Args:
        message: What is wrong, where, and what to do.
    """
    line = " ".join(line.strip() for line in message.splitlines() if line.strip())
    if len(line) > _LONGEST:  # the parser quotes what it cannot use, be it a whole file
        line = f"{line[:_LONGEST]} ..."
    print(f"stark: error: {line}", file=sys.stderr)
    sys.exit(2)


def own_error(error: BaseException) -> BaseException | None:
    """Find the error that one of our packages raised on purpose; anything else is a defect and keeps its traceback.

    Args:
        error: A caught exception. If the parser raised it while it built our classes, the reason is in its causes.

    Returns:
        The error whose innermost frame is ours, or None.

    Examples:
        >>> try:
        ...     int("x")
        ... except ValueError as error:
        ...     print(own_error(error))
        None
    """
    current: BaseException | None = error
    while current is not None:
        frames = traceback.extract_tb(current.__traceback__)
        origin = Path(frames[-1].filename) if frames else Path()
        if any(origin.is_relative_to(_OWN_CODE / name) for name in _PACKAGES):
            return current
        if "jsonargparse" not in origin.parts:
            return None
        current = current.__cause__ or current.__context__
    return None


class OneLineErrors(ArgumentParser):
    """A parser that reports what is wrong with the command line or a YAML in one line, without the usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message and exit with status 2.

        Args:
            message: The parser's message.
            ex: What caused it; its text is in the message, to which the nearest name is added if it knows no such one.
        """
        fail(message + _nearest(message, getattr(ex, "subcommand_parser", self)))

    def parse_path(self, path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Namespace:  # noqa: ANN401
        """Parse a file of settings; one that is no text is an error of the user.

        Args:
            path: The file.
            args: The parent's.
            kwargs: The parent's.

        Returns:
            What the parent returns.
        """
        try:
            read_yaml_text(Path(path))
        except ValueError as error:
            fail(str(error))
        parsed: Namespace = super().parse_path(path, *args, **kwargs)
        return parsed


def _nearest(message: str, parser: ArgumentParser) -> str:
    """What may have been meant by a name that the parser does not know; nothing if it complains of something else."""
    unknown = _UNKNOWN.search(message)
    if unknown is None:
        return ""
    name = ".".join(part for part in unknown.group("group", "name") if part)
    near = difflib.get_close_matches(name, [action.dest for action in parser._actions], n=1)
    return f": did you mean {near[0]}?" if near else "; --help lists what there is"
