"""GLUE's original files as a source of rows."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from datamodules.sources.glue_tsv import find_file, parse_rows
from datamodules.sources.source import Rows
from datamodules.tasks.glue import GLUETask
from stark.storage import file_digest

__all__ = ["TSVSource"]


@dataclass(frozen=True)
class TSVSource:
    """GLUE's original files.

    Attributes:
        task: The task whose files are read.
        folder: Folder of the files.
    """

    task: GLUETask
    folder: Path

    def digest(self, split: str) -> str:
        """Return the hash of the file."""
        return file_digest(find_file(self.folder, self.task, split))

    def rows(self, split: str) -> Rows:
        """Return the rows of the file."""
        path = find_file(self.folder, self.task, split)
        content = path.read_bytes()
        rows = parse_rows(content, self.task, split, path)
        return rows._replace(digest=hashlib.sha256(content).hexdigest())
