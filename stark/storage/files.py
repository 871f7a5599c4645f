"""Write files and folders completely or not at all, and check that paths stay in their folder.

Written files get the permissions of an ordinary new file. safetensors 0.8 makes its files readable only for their
owner, so that a container with another user could not load a model (its issue 782).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stark.errors import StarkError
from stark.storage.reading import ReadError, matching_files

__all__ = [
    "WriteError",
    "copy_folder",
    "inside",
    "is_temporary",
    "new_file",
    "new_folder",
    "remove_folder",
    "write_json",
    "write_text",
]


# A file or folder is written in a private folder, whose name is the target's name, a random part and this ending.
_WORKSHOP = ".stark-new"
_TEMPORARY = re.compile(rf"\..+\.[a-z0-9_]{{8}}{re.escape(_WORKSHOP)}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class WriteError(OSError):
    """A file or folder could not be written; an existing one of that name is unchanged."""

    def __init__(self, path: Path, reason: str) -> None:
        """Keep the path and the reason in the message.

        Args:
            path: The file or folder.
            reason: The reason, such as ``No space left on device``.
        """
        super().__init__(f"cannot write {path}: {reason}; the previous content is unchanged: make room and try again")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name, flush it to the disk, and only then give it its name.

    Args:
        path: The file; its folder is created, an existing file is replaced.

    Yields:
        The temporary path to write to.

    Raises:
        WriteError: If it cannot be written, for example on a full disk.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with new_file(Path(folder, "a", "b.txt")) as temporary:
        ...         _ = temporary.write_text("text")
        ...     Path(folder, "a", "b.txt").read_text()
        'text'
    """
    with _workshop(path) as (new, _):
        mode = _ordinary_mode(new)
        yield new
        _allow(new, mode)
        _flush(new)
        new.replace(path)


@contextmanager
def new_folder(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Fill a folder under a temporary name, flush it to the disk, and only then give it its name.

    Args:
        path: The folder to write.
        replace: Whether an existing folder is replaced. Otherwise it stays and the new one is discarded, for processes
            that write the same content.

    Yields:
        The temporary folder to fill.

    Raises:
        WriteError: If it cannot be written, for example on a full disk.
    """
    with _workshop(path) as (new, old):
        mode = _ordinary_mode(new)
        new.mkdir()
        yield new
        for folder, _, files in os.walk(new):
            for name in files:
                _allow(Path(folder, name), mode)
                _flush(Path(folder, name))
            _flush(Path(folder))
        if not os.path.lexists(path):
            new.rename(path)
        elif replace:
            path.rename(old)
            try:
                new.rename(path)
            except OSError:
                old.rename(path)
                raise


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically.

    Args:
        path: The file; its folder is created, an existing file is replaced.
        text: The file's content.
    """
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, values: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
    """Write a JSON file atomically.

    Args:
        path: The file; its folder is created, an existing file is replaced.
        values: The file's content.
    """
    write_text(path, json.dumps(values, indent=2) + "\n")


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder atomically, replacing the target.

    Args:
        source: The folder to copy.
        target: The copy.
    """
    with new_folder(target) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder atomically, together with the rest of an earlier removal that was killed.

    Args:
        path: The folder; it need not exist. If it is a link, only the link is removed.

    Raises:
        WriteError: If it cannot be renamed. Files that cannot be removed now are removed when something is next written
            to or removed from the same path.
    """
    _clear_away(path)
    if os.path.lexists(path):
        with _workshop(path) as (_, old):
            path.rename(old)


def is_temporary(path: Path) -> bool:
    """Whether a folder is the temporary one of a write that is still running or was killed.

    Args:
        path: The folder.
    """
    return _TEMPORARY.fullmatch(path.name) is not None and path.is_dir() and not path.is_symlink()


def inside(root: Path, relative: str) -> Path:
    """The path of a file or folder inside a folder, for names that were read from a file.

    Args:
        root: The folder.
        relative: The name inside the folder.

    Returns:
        ``root / relative``.

    Raises:
        StarkError: If the name is absolute or leads out of the folder, by ``..`` or by a link.

    Examples:
        >>> inside(Path("runs"), "../x")
        Traceback (most recent call last):
        stark.errors.StarkError: '../x' leads out of runs: a name in it was expected
    """
    path = root / relative
    parts = Path(relative).parts
    if not parts or Path(relative).is_absolute() or ".." in parts or not _resolves_inside(root, path):
        raise StarkError(f"{relative!r} leads out of {root}: a name in it was expected")
    return path


def _resolves_inside(root: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


@contextmanager
def _workshop(path: Path) -> Iterator[tuple[Path, Path]]:
    """Make a private folder next to a path; yield paths in it for the new content and for the old content.

    It is next to the path so that renaming stays on one file system. Its name is random and only this user has access,
    so that nobody can put a link in its place or into it. It is locked while this process works in it. The system
    releases the lock when the process dies, in this container or in another one. So the next process that writes the
    same path knows which folders it may remove.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_away(path)
        with _locked_folder(path) as folder:
            yield folder / path.name, folder / f"{path.name}.old"
        _flush(path.parent)
    except (ReadError, WriteError):
        raise
    except OSError as error:
        raise WriteError(path, error.strerror or str(error)) from error


@contextmanager
def _locked_folder(path: Path) -> Iterator[Path]:
    """Make the folder, lock it, and remove it at the end."""
    while True:
        folder = Path(tempfile.mkdtemp(_WORKSHOP, f".{path.name}.", path.parent))
        # Another process may find it before it is locked, and then removes it.
        try:
            descriptor = os.open(folder, _FOLDER)
        except FileNotFoundError:
            continue
        except OSError:
            folder.rmdir()
            raise
        if _lock(descriptor) is not False and _is_open_as(descriptor, folder):
            break
        os.close(descriptor)
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


def _clear_away(path: Path) -> None:
    """Remove the private folders of processes that were killed while they wrote this file or folder."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(_WORKSHOP)}")
    for left in matching_files(path.parent, f"*{_WORKSHOP}"):
        if name.fullmatch(left.name) is None:
            continue
        try:
            descriptor = os.open(left, _FOLDER)
        except OSError:  # it was just removed, or belongs to another user
            continue
        try:
            if _lock(descriptor):
                shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock a folder: False if another process has it, None if this file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_open_as(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _ordinary_mode(path: Path) -> int:
    """The permissions of a new file here; it creates one, because reading the umask would change it for all threads."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        return os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
        path.unlink()


def _allow(path: Path, mode: int) -> None:
    """Give a file at least these permissions."""
    own = path.stat().st_mode
    if own | mode != own:
        path.chmod(own | mode)


def _flush(path: Path) -> None:
    """Flush a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
