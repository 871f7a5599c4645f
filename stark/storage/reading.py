"""Reading files, with different errors for damaged files, missing files, and files that could not be read now."""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stark.errors import StarkError

__all__ = ["DamagedError", "ReadError", "files_below", "is_file", "matching_files", "passing_reason", "reading"]

# Errors that do not depend on a file's content: they end when a limit, a mount, a permission or a disk is corrected.
_PASSING = (
    *(errno.EACCES, errno.EPERM, errno.EAGAIN, errno.EBUSY, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENODEV),
    *(errno.ENOMEM, errno.ENOTCONN, errno.ENXIO, errno.ESTALE, errno.ETIMEDOUT),
)
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


class DamagedError(StarkError):
    """A file is not what was written, according to its checksum or its format."""


class ReadError(OSError):
    """A file could not be read now. Its content may be intact, so nothing may be decided or removed because of it."""

    def __init__(self, path: Path | str, reason: str) -> None:
        """Keep the file and the reason in the message.

        Args:
            path: The file or folder.
            reason: The system's reason, such as ``Too many open files``.
        """
        super().__init__(f"{path} could not be read ({reason}): nothing was changed; give the same command again")


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Turn temporary errors into a `ReadError`; others, such as a missing file or a wrong format, are not changed.

    Use it inside the block that turns a library's exceptions into a `DamagedError`.

    Args:
        path: The file or folder that is read, for the message.

    Raises:
        ReadError: If the file could not be read now.

    Examples:
        >>> with reading("a.ckpt"):
        ...     raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        Traceback (most recent call last):
        stark.storage.reading.ReadError: a.ckpt could not be read (Too many open files): nothing was changed; ...
    """
    try:
        yield
    except (DamagedError, ReadError):
        raise
    except Exception as error:
        if (reason := passing_reason(error)) is None:
            raise
        raise ReadError(path, reason) from error


def passing_reason(error: BaseException | None) -> str | None:
    """Find out whether an exception, or one that it wraps, is an error of the system that may be temporary.

    Args:
        error: An exception of Python or of a library.

    Returns:
        The system's reason; None if the exception has another cause.

    Examples:
        >>> passing_reason(RuntimeError("unable to open file <a.ckpt> in read-only mode: Too many open files (24)"))
        'Too many open files'
        >>> passing_reason(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
    """
    while error is not None:
        if isinstance(error, MemoryError):
            return os.strerror(errno.ENOMEM)
        if isinstance(error, OSError) and error.errno in _PASSING:
            return os.strerror(error.errno)
        if not isinstance(error, OSError):
            # torch and safetensors quote the system's message in their own exceptions.
            for code in _PASSING:
                if os.strerror(code) in str(error):
                    return os.strerror(code)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def is_file(path: Path) -> bool:
    """Whether a file exists. Unlike ``os.path.isfile``, it raises an error if this cannot be found out.

    Args:
        path: The file; links are followed.

    Returns:
        True if it is a file; False if it is missing, or is a folder.

    Raises:
        ReadError: If the system could not tell now.
    """
    try:
        with reading(path):
            return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        if error.errno in _MISSING:
            return False
        raise


def matching_files(folder: Path, pattern: str) -> list[Path]:
    """The entries of a folder whose names match a pattern. Python's glob would skip a folder that cannot be listed.

    Args:
        folder: The folder.
        pattern: Pattern of names, such as ``*.ckpt``.

    Returns:
        Paths of the entries, sorted; an empty list if there is no such folder.

    Raises:
        ReadError: If the folder could not be listed.
    """
    try:
        with reading(folder):
            names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names) if fnmatch.fnmatchcase(name, pattern)]


def files_below(folder: Path) -> list[Path]:
    """All files of a folder and its subfolders.

    Args:
        folder: The folder. Links to files count as files, links to folders are not followed.

    Returns:
        Paths of the files, sorted.

    Raises:
        ReadError: If a folder could not be listed.
    """

    def fail(error: OSError) -> None:
        raise error

    with reading(folder):
        found = [Path(place, name) for place, _, names in os.walk(folder, onerror=fail) for name in names]
    return sorted(path for path in found if is_file(path))
