"""The description of a file of rows, written for a user who has not written one."""

from __future__ import annotations

from pathlib import Path

import yaml

from pipeline.describing.columns import Columns
from stark.errors import StarkFileExistsError
from stark.storage import write_text

__all__ = ["is_rows_file", "write_description"]

_ENDINGS = tuple(f".{name}{packed}" for name in ("csv", "tsv", "jsonl", "ndjson") for packed in ("", ".gz"))


def is_rows_file(name: str) -> bool:
    """Whether a task's name is that of a file of rows.

    Examples:
        >>> is_rows_file("reviews.csv.gz"), is_rows_file("reviews.yaml"), is_rows_file("sst2")
        (True, False, False)
    """
    return name.endswith((*_ENDINGS, ".parquet"))


def write_description(rows: Path, columns: Columns, folder: Path, held_out: float) -> Path:
    """Write the YAML of a task whose rows are in one file.

    Args:
        rows: The file.
        columns: Its columns.
        folder: Folder of the YAML, which has the name of the file.
        held_out: Fraction of the rows that become dev.

    Returns:
        Path of the YAML.

    Raises:
        StarkFileExistsError: If there is another description, which somebody may have changed.
    """
    # Imported here because it imports torch, which is not needed to read a command's options.
    from stark.problems.multi_label import MultiLabel

    values = {
        "train": str(rows.absolute()),
        "split": {"dev": held_out},
        **dict(zip(("text", "text_pair"), columns.texts, strict=False)),
        "label": columns.label,
        **({"labels": dict(columns.labels)} if columns.labels else {}),
        **({"kind": MultiLabel.kind} if columns.several else {}),
    }
    path, text = folder / f"{rows.name.split('.')[0]}.yaml", yaml.safe_dump(values, sort_keys=False)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise StarkFileExistsError(
            f"{path} describes the rows otherwise: give it instead of {rows.name} if it is right, or remove it"
        )
    write_text(path, text)
    return path
