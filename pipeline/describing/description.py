"""The description of a file of rows, written for a user who has not written one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from pipeline.describing.columns import Columns, find_columns
from pipeline.parsing.plain_text import printable
from stark.errors import StarkFileExistsError
from stark.storage import write_text

__all__ = ["described", "is_rows_file", "label_text", "rows_folder", "write_description"]

# Fraction of a file of rows that is only reported on.
_HELD_OUT = 0.1

_ENDINGS = tuple(f".{name}{packed}" for name in ("csv", "tsv", "jsonl", "ndjson") for packed in ("", ".gz"))


def is_rows_file(name: str) -> bool:
    """Whether a task's name is that of a file of rows.

    Examples:
        >>> is_rows_file("reviews.csv.gz"), is_rows_file("reviews.yaml"), is_rows_file("sst2")
        (True, False, False)
    """
    return name.endswith((*_ENDINGS, ".parquet"))


def rows_folder(root: str, name: str) -> Path:
    """The folder of the description of a run's file of rows, beside the run's own folder.

    Args:
        root: Folder of all runs.
        name: The run's name.
    """
    return Path(root).expanduser() / f"{name}-rows"


def described(rows: Path, folder: Path, texts: Sequence[str] = (), label: str | None = None) -> str:
    """Describe a file of rows for a run, and tell what its columns were taken for.

    Args:
        rows: The file.
        folder: Folder of the description.
        texts: Columns of the texts; empty to find them.
        label: Column of the label; None to find it.

    Returns:
        Path of the description, whose task takes the place of the file.

    Raises:
        StarkError: If the columns are not found; see `find_columns` and `write_description`.
    """
    found = find_columns(rows, texts, label)
    path = write_description(rows, found, folder, _HELD_OUT)
    print(
        printable(f"{rows}: text: {', '.join(found.texts)}, label: {label_text(found)}; described in {path}"),
        file=sys.stderr,
    )
    return str(path)


def label_text(columns: Columns) -> str:
    """The columns of the label, as text.

    Examples:
        >>> label_text(Columns(("text",), ("joy", "love"), {}, several=True))
        'joy, love'
    """
    return columns.label if isinstance(columns.label, str) else ", ".join(columns.label or ())


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
        "label": list(columns.label) if isinstance(columns.label, tuple) else columns.label,
        **({"labels": dict(columns.labels)} if columns.labels else {}),
        **({"kind": MultiLabel.kind} if columns.several else {}),
        **({} if columns.separator is None else {"label_separator": columns.separator}),
    }
    path, text = folder / f"{rows.name.split('.')[0]}.yaml", yaml.safe_dump(values, sort_keys=False)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise StarkFileExistsError(
            f"{path} describes the rows otherwise: give it instead of {rows.name} if it is right, or remove it"
        )
    write_text(path, text)
    return path
