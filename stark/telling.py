"""Lines for the user that several parts of a process would repeat."""

from __future__ import annotations

import functools
import logging
import os

__all__ = ["warn_once"]

_log = logging.getLogger(__name__)


@functools.cache
def warn_once(message: str) -> None:
    """Log a warning, unless this process has logged it before: each stage of a run reads the same rows and labels.

    Of the processes of a fit only the first one logs.

    Args:
        message: The warning.
    """
    if os.environ.get("LOCAL_RANK", "0") == "0":
        _log.warning("%s", message)
