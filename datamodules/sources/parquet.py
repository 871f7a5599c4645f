"""Parquet files, read as JSON lines."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from datamodules.sources.dataset import write_lines
from stark.errors import StarkError

__all__ = ["parquet_lines"]


@contextmanager
def parquet_lines(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Turn the rows of a Parquet file into lines of JSON, the first row into line 1; see `write_lines`.

    Args:
        stream: The file's bytes; all of them are read into memory.

    Yields:
        The lines, in a temporary file.

    Raises:
        StarkError: The bytes are no Parquet file.
    """
    # Imported here because it takes part of a second and other formats do not need it.
    from pyarrow import ArrowException  # type: ignore[import-untyped]
    from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]

    content = io.BytesIO(stream.read())
    with tempfile.TemporaryFile() as kept:
        try:
            batches = ParquetFile(content).iter_batches()
            write_lines((row for batch in batches for row in batch.to_pylist()), cast(BinaryIO, kept))
        except (ArrowException, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise StarkError(f"no Parquet file, or damaged: {reason}") from error
        yield cast(BinaryIO, kept)
