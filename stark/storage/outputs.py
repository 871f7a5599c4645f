"""Outputs that a user names: the user's existing files are kept, and devices and pipes are written into."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from stark.errors import StarkFileExistsError
from stark.storage.checksums import verify_checksums
from stark.storage.files import WriteError, new_file
from stark.storage.reading import DamagedError

__all__ = ["check_output", "is_intact_folder", "is_signed", "is_stream", "open_output", "signed", "write_output"]

_SIGNATURE = re.compile(rb"<!-- stark sha256:([0-9a-f]{64}) -->\n\Z")


def check_output(path: Path, *, overwrite: bool = False, is_ours: Callable[[Path], bool] = lambda _: False) -> Path:
    """Check that an output may be written, before any work is done for it.

    Args:
        path: The file or folder that the user named. A link is followed.
        overwrite: Whether the user allows the replacement of an existing file or folder.
        is_ours: Function that returns whether an existing file or folder is an earlier output, unchanged since. Such an
            output is replaced.

    Returns:
        The path to write to, with links resolved.

    Raises:
        StarkFileExistsError: If the path exists and is not an earlier output.

    Examples:
        >>> check_output(Path("/dev/null"))
        PosixPath('/dev/null')
        >>> check_output(Path(__file__))
        Traceback (most recent call last):
        stark.errors.StarkFileExistsError: ... exists and is not an earlier output of this command: choose another ...
    """
    if is_stream(path):
        return path  # not resolved: the resolved name of a pipe such as /dev/fd/63 leads nowhere
    target = path.resolve()
    if overwrite or not target.exists():
        return target
    if target.is_dir() and not any(target.iterdir()):
        return target
    if not is_ours(target):
        raise StarkFileExistsError(
            f"{path} exists and is not an earlier output of this command: choose another place, or give --overwrite"
        )
    return target


@contextmanager
def open_output(
    path: Path, *, overwrite: bool = False, is_ours: Callable[[Path], bool] = lambda _: False
) -> Iterator[BinaryIO]:
    """Write an output that the user named.

    A file appears when it is complete. A device or a named pipe is written into. A link is kept, and the file that it
    points to is written.

    Args:
        path: The file that the user named.
        overwrite: As in `check_output`.
        is_ours: As in `check_output`.

    Yields:
        The stream to write bytes to.

    Raises:
        StarkFileExistsError: If the path exists and is not an earlier output.
        WriteError: If the path is a folder, or cannot be written, for example on a full disk.
    """
    target = check_output(path, overwrite=overwrite, is_ours=is_ours)
    if target.is_dir():
        raise WriteError(path, "it is a folder")
    if is_stream(target):
        with target.open("wb") as stream:
            yield stream
        return
    with new_file(target) as temporary, temporary.open("wb") as stream:
        yield stream


def write_output(
    path: Path, text: str, *, overwrite: bool = False, is_ours: Callable[[Path], bool] = lambda _: False
) -> None:
    """Write a text to an output that the user named, in UTF-8; see `open_output`.

    Args:
        path: The file that the user named.
        text: The file's content.
        overwrite: As in `check_output`.
        is_ours: As in `check_output`.
    """
    with open_output(path, overwrite=overwrite, is_ours=is_ours) as stream:
        stream.write(text.encode("utf-8"))


def signed(text: str) -> str:
    """Sign a page of HTML or Markdown, so that a later command can check that nobody has changed it.

    Args:
        text: The page.

    Returns:
        The page with a comment at its end that holds the page's checksum.

    Examples:
        >>> print(signed("# Title"), end="")
        # Title
        <!-- stark sha256:... -->
    """
    text = text if text.endswith("\n") else f"{text}\n"
    return f"{text}<!-- stark sha256:{hashlib.sha256(text.encode()).hexdigest()} -->\n"


def is_signed(path: Path) -> bool:
    """Whether a file is a page that `signed` made, unchanged since.

    Args:
        path: The file.

    Returns:
        True if it is; False also if it is no regular file.
    """
    if not path.is_file():
        return False
    content = path.read_bytes()
    found = _SIGNATURE.search(content)
    return found is not None and hashlib.sha256(content[: found.start()]).hexdigest().encode() == found[1]


def is_intact_folder(path: Path) -> bool:
    """Whether a folder holds exactly the files that its ``SHA256SUMS`` lists, unchanged since this project wrote them.

    Args:
        path: The folder.

    Returns:
        True if it does; False also if it is no folder, or has no ``SHA256SUMS``.
    """
    try:
        return path.is_dir() and verify_checksums(path)
    except DamagedError:
        return False


def is_stream(path: Path) -> bool:
    """Whether a path is a device or a pipe, which has no content to lose.

    Args:
        path: The path that the user named.
    """
    return path.exists() and not path.is_file() and not path.is_dir()
