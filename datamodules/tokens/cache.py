"""Files of tokenised rows, which are made once and memory-mapped when they are used."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from datamodules.tokens.columns import TokenColumns
from stark.errors import StarkError
from stark.storage import cache_folder, is_file, read_tensors, write_tensors

__all__ = ["CacheFile"]

_log = logging.getLogger(__name__)


class CacheFile(NamedTuple):
    """The place of rows in the cache.

    Attributes:
        path: The file; it need not exist.
        key: A hash of everything that the rows depend on, which is stored in the file.
    """

    path: Path
    key: str

    @classmethod
    def of(cls, cache_dir: str | None, name: str, depends_on: Mapping[str, Any]) -> CacheFile:
        """Find the place of rows.

        Args:
            cache_dir: As in `stark.storage.cache_folder`.
            name: Beginning of the file's name, for people who look into the folder.
            depends_on: Everything that the rows depend on, as JSON values.
        """
        key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
        return cls(cache_folder(cache_dir) / f"{name}-{key[:32]}.safetensors", key)

    def read(self) -> TokenColumns | None:
        """Return the rows; None if they are not there, are damaged or are others, as they can be made again."""
        if not is_file(self.path):
            return None
        try:
            tensors, notes = read_tensors(self.path)
            columns = TokenColumns.from_tensors(tensors)
            if notes.get("key") != self.key:
                raise StarkError("it holds another split or other rows than its name says")
            return columns
        except ValueError as error:  # a DamagedError, or an intact file with other content
            reason = " ".join(str(error).split())[:300]
            _log.warning("%s: tokenised data is made again: %s", self.path, reason)
        return None

    def write(self, columns: Mapping[str, Tensor]) -> TokenColumns:
        """Store rows, and return them memory-mapped.

        If another process was first, its file is replaced by the same content.

        Args:
            columns: As in `TokenColumns.from_tensors`.
        """
        write_tensors(self.path, dict(columns), key=self.key)
        return TokenColumns.from_tensors(read_tensors(self.path)[0])
