"""Reading a file once for both its rows and its checksum, so that both come from the same bytes."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from datamodules.sources.dataset import dataset_lines, dataset_state
from datamodules.sources.records import Records, open_records
from datamodules.tasks.record_format import RecordFormat
from stark.storage import file_digest

__all__ = ["HashingReader", "content_digest", "hashed_records", "opened_rows"]


class HashingReader(io.RawIOBase):
    """Reads a file's bytes for a caller and hashes them at the same time.

    Args:
        file: The file, unbuffered or not, at its start.

    Examples:
        >>> reader = HashingReader(io.BytesIO(b"abc"))
        >>> io.BufferedReader(reader, buffer_size=1).read(2), reader.digest() == hashlib.sha256(b"abc").hexdigest()
        (b'ab', True)
    """

    def __init__(self, file: io.RawIOBase | io.BufferedIOBase) -> None:
        """Start at the beginning of the file."""
        super().__init__()
        self._file, self._hash, self._place = file, hashlib.sha256(), 0

    def readable(self) -> bool:
        """Return True: the file can be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int | None:  # type: ignore[override]  # any buffer
        """Read some bytes into a buffer."""
        count = self._file.readinto(buffer)
        if count:
            self._hash.update(memoryview(buffer)[:count])
            self._place += count
        return count

    def seekable(self) -> bool:
        """Return whether the file can be read again."""
        return self._file.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go back to the start of the file and restart the hash."""
        place = self._file.seek(offset, whence)
        if place == 0:
            self._hash, self._place = hashlib.sha256(), 0
        elif place != self._place:
            raise io.UnsupportedOperation("only the start can be sought, or the hash would miss bytes")
        return place

    def digest(self) -> str:
        """Return the hexadecimal SHA-256 of the whole file, after reading the rest of it."""
        while self.read(1 << 20):
            pass
        return self._hash.hexdigest()


@contextmanager
def opened_rows(path: Path, form: RecordFormat) -> Iterator[io.RawIOBase | io.BufferedIOBase]:
    """Open the bytes of a file of rows, or of a split of a data set as JSON lines.

    Args:
        path: The file; of a split the path for messages.
        form: Its format.

    Yields:
        The bytes.
    """
    if form.dataset is None:
        with path.open("rb", buffering=0) as file:
            yield file
    else:
        with dataset_lines(form.dataset) as lines:
            yield cast(io.BufferedIOBase, lines)


def content_digest(path: Path, form: RecordFormat) -> str:
    """Return the checksum that `hashed_records` finds.

    Args:
        path: The file; of a split the path for messages.
        form: Its format.

    Raises:
        StarkFileNotFoundError: There is no such split.
    """
    if form.dataset is None:
        return file_digest(path)
    return _lines_digest(path, form, dataset_state(form.dataset))


# Each stage of a run asks for it, and it takes seconds for a million rows.
@functools.lru_cache(maxsize=16)
def _lines_digest(path: Path, form: RecordFormat, state: str) -> str:
    with opened_rows(path, form) as lines:
        return HashingReader(lines).digest()


@contextmanager
def hashed_records(path: Path, form: RecordFormat) -> Iterator[tuple[Records, HashingReader]]:
    """Open a file of rows.

    Args:
        path: The file.
        form: Its format.

    Yields:
        The rows, and the reader, which gives the file's checksum when the rows have been read.
    """
    with opened_rows(path, form) as file:
        hashing = HashingReader(file)
        with open_records(io.BufferedReader(hashing), form) as records:
            yield records, hashing
