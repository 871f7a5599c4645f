"""Errors of users: one line that says what is wrong and where, and exit status 2."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import NoReturn

from jsonargparse import ArgumentParser

__all__ = ["OneLineErrors", "fail", "is_ours"]

_OWN_CODE = Path(__file__).resolve().parent.parent
_PACKAGES = ("callbacks", "datamodules", "lightning_modules", "pipeline")


def fail(message: str) -> NoReturn:
    """Print an error in one line and exit with status 2.

    Args:
        message: What is wrong, where, and what to do.
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    print(f"stark: error: {' '.join(lines)}", file=sys.stderr)
    sys.exit(2)


def is_ours(error: BaseException) -> bool:
    """Whether one of our packages raised an error itself, on purpose; any other is a defect and keeps its traceback.

    Args:
        error: A caught exception.

    Returns:
        True when its innermost frame is ours.

    Example:
        >>> try:
        ...     int("x")
        ... except ValueError as error:
        ...     is_ours(error)
        False
    """
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and any(Path(frames[-1].filename).is_relative_to(_OWN_CODE / name) for name in _PACKAGES)


class OneLineErrors(ArgumentParser):
    """A parser that reports what is wrong with the command line or a YAML in one line, without the usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message and exit with status 2.

        Args:
            message: The parser's message.
            ex: What caused it; its text is in the message.
        """
        fail(message)
