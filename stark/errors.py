"""Errors that a user can do something about: their message says what is wrong, where, and what to do.

The command line prints them as one line. Any other exception is a defect of this project and keeps its traceback.
"""

from __future__ import annotations

__all__ = ["StarkError", "StarkFileExistsError", "StarkFileNotFoundError", "StarkTypeError"]


class StarkError(ValueError):
    """A mistake in what a user wrote, or damage to the user's files. The message is one line."""


class StarkFileNotFoundError(StarkError, FileNotFoundError):
    """A file or folder that a user named is missing."""


class StarkFileExistsError(StarkError, FileExistsError):
    """A file or folder that a command would write is already there."""


class StarkTypeError(StarkError, TypeError):
    """An object of the wrong class was configured, such as a callback in a fit that it was not made for."""
