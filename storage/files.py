"""Writing files and folders so that they are there completely or not at all, and paths that stay in their folder.

Whoever may read an ordinary new file may read these: safetensors 0.8 gives its own to nobody but their owner, so that a
container with another user could not load a model (its issue 782).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = [
    "WriteError",
    "copy_folder",
    "inside",
    "new_file",
    "new_folder",
    "remove_folder",
    "write_json",
    "write_text",
]


class WriteError(OSError):
    """Something could not be written; what had the name before is untouched."""

    def __init__(self, path: Path, reason: str) -> None:
        """Say what could not be written and why.

        Args:
            path: The file or folder.
            reason: Such as ``No space left on device``.
        """
        super().__init__(f"cannot write {path}: {reason}; what was there is unharmed: make room and try again")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name, bring it to the disk, and only then give it its name.

    Args:
        path: The file; its folder is made, an existing file is replaced.

    Yields:
        The temporary path to write to.

    Raises:
        WriteError: If the disk is full or the like.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with new_file(Path(folder, "a", "b.txt")) as temporary:
        ...         _ = temporary.write_text("text")
        ...     Path(folder, "a", "b.txt").read_text()
        'text'
    """
    with _written_beside(path) as temporary:
        mode = _ordinary_mode(temporary)
        yield temporary
        _allow(temporary, mode)
        _flush(temporary)
        temporary.replace(path)


@contextmanager
def new_folder(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Fill a folder under a temporary name, bring it to the disk, and only then give it its name.

    Args:
        path: The folder to make.
        replace: Whether an existing one gives way; otherwise it stays and the new one is dropped, for processes that
            make the same.

    Yields:
        The temporary folder to fill.

    Raises:
        WriteError: If the disk is full or the like.
    """
    with _written_beside(path) as temporary:
        temporary.mkdir()
        mode = _ordinary_mode(temporary / ".mode")
        yield temporary
        for folder, _, files in os.walk(temporary):
            for name in files:
                _allow(Path(folder, name), mode)
                _flush(Path(folder, name))
            _flush(Path(folder))
        replaced = _temporary(path, "old")
        if path.exists() and replace:
            path.rename(replaced)
        if not path.exists():
            temporary.rename(path)
        _remove(replaced)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically.

    Args:
        path: The file; its folder is made, an existing file is replaced.
        text: Its content.
    """
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, values: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
    """Write a JSON file atomically.

    Args:
        path: The file.
        values: Its content.
    """
    write_text(path, json.dumps(values, indent=2) + "\n")


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder atomically, replacing the target.

    Args:
        source: The folder to copy.
        target: Its copy.
    """
    with new_folder(target) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder so that at no moment half of it has its name, and what is left of an earlier, killed removal.

    Args:
        path: The folder; it need not exist.
    """
    _clear_away(path)
    if path.exists():
        doomed = _temporary(path, "old")
        path.rename(doomed)
        shutil.rmtree(doomed)


def inside(root: Path, relative: str) -> Path:
    """The path of something in a folder, for names that come out of a file.

    Args:
        root: The folder.
        relative: The name in it.

    Returns:
        ``root / relative``.

    Raises:
        ValueError: If the name is absolute or leads out of the folder, by ``..`` or by a link.

    Examples:
        >>> inside(Path("runs"), "../x")
        Traceback (most recent call last):
        ValueError: '../x' leads out of runs: a name in it was expected
    """
    path = root / relative
    parts = Path(relative).parts
    if not parts or Path(relative).is_absolute() or ".." in parts or not _resolves_inside(root, path):
        raise ValueError(f"{relative!r} leads out of {root}: a name in it was expected")
    return path


def _resolves_inside(root: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


@contextmanager
def _written_beside(path: Path) -> Iterator[Path]:
    """A temporary name in the same folder, so that renaming stays on one file system."""
    temporary = _temporary(path, "new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_away(path)
        yield temporary
        _flush(path.parent)
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(path, error.strerror or str(error)) from error
    finally:
        _remove(temporary)


def _temporary(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.{kind}")


def _clear_away(path: Path) -> None:
    """Remove what processes left that were killed while they wrote this file or folder."""
    host = socket.gethostname()
    for left in path.parent.glob(f".{path.name}.{host}-*.*"):
        process = left.name.rsplit("-", 1)[1].split(".")[0]
        if process.isdigit() and not _runs(int(process)):
            _remove(left)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _ordinary_mode(path: Path) -> int:
    """The permissions of a new file here; asking for the umask would change it for all threads."""
    path.touch()
    mode = path.stat().st_mode
    path.unlink()
    return mode


def _allow(path: Path, mode: int) -> None:
    """Give a file at least these permissions."""
    own = path.stat().st_mode
    if own | mode != own:
        path.chmod(own | mode)


def _flush(path: Path) -> None:
    """Bring a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
