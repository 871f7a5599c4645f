"""Errors of users: one line that says what is wrong and where, and exit status 2."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import NoReturn

from jsonargparse import ArgumentParser

__all__ = ["OneLineErrors", "fail", "own_error"]

_OWN_CODE = Path(__file__).resolve().parent.parent
_PACKAGES = ("callbacks", "datamodules", "lightning_modules", "pipeline", "storage")


def fail(message: str) -> NoReturn:
    """Print an error in one line and exit with status 2.

    Args:
        message: What is wrong, where, and what to do.
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    print(f"stark: error: {' '.join(lines)}", file=sys.stderr)
    sys.exit(2)


def own_error(error: BaseException) -> BaseException | None:
    """Find the error that one of our packages raised on purpose; anything else is a defect and keeps its traceback.

    Args:
        error: A caught exception. If the parser raised it while it built our classes, the reason is in its causes.

    Returns:
        The error whose innermost frame is ours, or None.

    Example:
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
            ex: What caused it; its text is in the message.
        """
        fail(message)
