"""Rows without labels in a user's files, on which students are distilled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from datamodules.sources.cells import in_file, texts_of
from datamodules.sources.hashing import hashed_records
from datamodules.sources.source import Rows, warn_of_empty_texts
from datamodules.tasks.record_format import RecordFormat
from datamodules.tasks.task import Task
from stark.errors import StarkError, StarkFileNotFoundError
from stark.storage import file_digest
from stark.telling import warn_once

__all__ = ["UnlabelledSource"]


@dataclass(frozen=True)
class UnlabelledSource:
    """CSV, TSV or JSON lines files that have the columns of a task's texts; all other columns are ignored.

    Attributes:
        task: The task whose texts they have.
        files: The files and their formats; the rows are numbered through all of them.
    """

    task: Task
    files: tuple[tuple[Path, RecordFormat], ...]

    def digest(self, split: str) -> str:
        """Return a digest of the content of all files, their formats and the names of the columns.

        Args:
            split: Not used; there is only one.
        """
        return self._identity([file_digest(_existing(path)) for path, _ in self.files])

    def rows(self, split: str) -> Rows:
        """Return the rows of all files; warnings give the number of empty texts.

        Args:
            split: Not used; there is only one.

        Raises:
            StarkFileNotFoundError: A file does not exist.
            StarkError: A row cannot be read, or a file has none; the message names file and line.
        """
        texts: tuple[list[str], ...] = tuple([] for _ in self.task.texts)
        digests = []
        for path, form in self.files:
            before, empty = len(texts[0]), list[int]()
            with in_file(_existing(path)), hashed_records(path, form) as (records, hashing):
                records.check_columns(*self.task.texts)
                for row in records:
                    read = texts_of(row, self.task.texts)
                    for text, known in zip(read, texts, strict=True):
                        known.append(text)
                    if not all(text.strip() for text in read):
                        empty.append(row.line)
                notes = records.notes
                digests.append(hashing.digest())
            if len(texts[0]) == before:
                raise StarkError(f"{path}: no rows in it (rows without labels of task {self.task.name!r})")
            for note in notes:
                warn_once(f"{path}: {note}")
            warn_of_empty_texts(str(path), empty)
        pair = texts[1] if self.task.is_pair else None
        return Rows(texts[0], pair, None, list(range(len(texts[0]))), self._identity(digests))

    def _identity(self, files: list[str]) -> str:
        forms = [form for _, form in self.files]
        return hashlib.sha256(f"{files} {self.task.texts} {forms}".encode()).hexdigest()


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise StarkFileNotFoundError(f"{path}: no such file (rows without labels)")
    return path
