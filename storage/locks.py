"""One process at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["folder_lock"]

_LOCK_FILE = ".lock"


@contextmanager
def folder_lock(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Keep other processes that ask for the same out of a folder; the system ends the lock when the process dies.

    Args:
        folder: The folder; it is made.
        patience: Seconds to wait for the other process.

    Raises:
        FileExistsError: If another process holds it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, folder_lock(Path(folder)):
        ...     with folder_lock(Path(folder)):
        ...         pass
        Traceback (most recent call last):
        FileExistsError: ... is in use by another process: wait until it has ended, or choose another folder
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK_FILE)
    try:
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise FileExistsError(
            f"{folder} is in use by another process: wait until it has ended, or choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()
