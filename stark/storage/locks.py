"""A lock that lets only one process at a time use a folder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stark.errors import StarkFileExistsError

__all__ = ["folder_lock"]

_POLL = 0.1  # seconds


@contextmanager
def folder_lock(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Lock a folder against other processes that lock it, too; the system releases the lock when the process dies.

    Args:
        folder: The folder; it is created if missing.
        patience: Seconds to wait for the other process.

    Raises:
        StarkFileExistsError: If another process holds the lock.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, folder_lock(Path(folder)):
        ...     with folder_lock(Path(folder)):
        ...         pass
        Traceback (most recent call last):
        stark.errors.StarkFileExistsError: ... is in use by another process: wait until it has ended, or choose ...
    """
    folder.mkdir(parents=True, exist_ok=True)
    # The folder itself is locked: a lock file would make an empty folder look like a used one.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + patience
        while not _locked(descriptor):
            if time.monotonic() >= deadline:
                raise StarkFileExistsError(
                    f"{folder} is in use by another process: wait until it has ended, or choose another folder"
                )
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)  # this releases the lock


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
