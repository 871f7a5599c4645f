"""Parquet files, read as JSON lines."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from stark.errors import StarkError

__all__ = ["parquet_lines"]


@contextmanager
def parquet_lines(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Turn the rows of a Parquet file into lines of JSON, the first row into line 1.

    A missing number (NaN) is null, as pandas marks missing values in this way. Values that JSON does not have, such as
    dates, become texts.

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
            for batch in ParquetFile(content).iter_batches():
                for row in batch.to_pylist():
                    known = {name: None if value != value else value for name, value in row.items()}
                    kept.write(f"{json.dumps(known, ensure_ascii=False, default=str)}\n".encode())
        except (ArrowException, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise StarkError(f"no Parquet file, or damaged: {reason}") from error
        kept.seek(0)
        yield cast(BinaryIO, kept)
