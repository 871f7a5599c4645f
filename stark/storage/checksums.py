"""Checksums of a folder's files, stored in the folder in the format of ``sha256sum``."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Sequence
from pathlib import Path

from stark.storage.files import write_text
from stark.storage.reading import DamagedError, files_below, is_file, reading

__all__ = ["CHECKSUMS_FILE", "DamagedError", "file_digest", "verify_checksums", "write_checksums"]

CHECKSUMS_FILE = "SHA256SUMS"
"""Name of the file with the checksums; ``sha256sum --check SHA256SUMS`` in the folder verifies them as well."""


def file_digest(path: Path) -> str:
    """SHA-256 of a file.

    Args:
        path: The file.

    Returns:
        The digest, hexadecimal.

    Raises:
        FileNotFoundError: If there is no such file.
        ReadError: If the file could not be read now.

    Examples:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     file_digest(Path(file.name))[:8]
        'e3b0c442'
    """
    with reading(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_checksums(folder: Path) -> None:
    """Write ``SHA256SUMS`` over all files of a folder and its subfolders.

    Args:
        folder: The folder, complete.
    """
    lines = [f"{file_digest(folder / name)}  {name}\n" for name in _names(folder)]
    write_text(folder / CHECKSUMS_FILE, "".join(lines))


def verify_checksums(folder: Path, patterns: Sequence[str] = ("*",)) -> bool:
    """Compare a folder's files with its checksums.

    Args:
        folder: The folder.
        patterns: Patterns of names. Only files that match one of them are checked; each of these must be listed.

    Returns:
        True if all files match; False, without a check, if the folder has no ``SHA256SUMS``.

    Raises:
        DamagedError: If a file is missing, differs or is not listed.
        ReadError: If a file could not be read now.
    """
    listed = folder / CHECKSUMS_FILE
    if not is_file(listed):
        return False
    with reading(listed):
        lines = listed.read_text(encoding="utf-8", errors="replace").splitlines()
    unlisted = {name for name in _names(folder) if _fits(name, patterns)}
    for number, line in enumerate(lines, start=1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name or name.startswith("/") or ".." in Path(name).parts:
            raise DamagedError(f"{listed}, line {number}: not a checksum and a name; restore it, or remove the file")
        if not _fits(name, patterns):
            continue
        file = folder / name
        if not is_file(file):
            raise DamagedError(f"{file} is missing: it is listed in {CHECKSUMS_FILE}")
        if file_digest(file) != digest:
            raise DamagedError(
                f"{file} is damaged: it does not have the checksum in {CHECKSUMS_FILE}; restore it, or remove "
                f"{CHECKSUMS_FILE} if it was changed on purpose"
            )
        unlisted.discard(name)
    if unlisted:
        raise DamagedError(f"{listed} is damaged: it does not list {min(unlisted)}; restore it, or remove the file")
    return True


def _names(folder: Path) -> list[str]:
    """Names of the files that the checksums cover, sorted."""
    names = (path.relative_to(folder).as_posix() for path in files_below(folder))
    return sorted(name for name in names if name != CHECKSUMS_FILE)


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
