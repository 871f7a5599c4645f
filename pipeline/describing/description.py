"""The description of a file of rows or of a data set, written for a user who has not written one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from datamodules.sources.dataset import split_names
from datamodules.tasks.dataset_split import is_hub_id
from datamodules.tasks.description import is_description
from datamodules.tasks.glue import TASKS
from pipeline.describing.columns import Columns, find_columns
from pipeline.describing.splits import parts_of, parts_text, train_of
from pipeline.parsing.plain_text import printable
from pipeline.parsing.progress import step
from stark.errors import StarkFileExistsError
from stark.storage import write_text

__all__ = ["described", "is_rows", "label_text", "rows_folder", "write_description"]

# Fraction of a file of rows that is only reported on.
_HELD_OUT = 0.1

_ENDINGS = tuple(f".{name}{packed}" for name in ("csv", "tsv", "jsonl", "ndjson") for packed in ("", ".gz"))


def is_rows(name: str) -> bool:
    """Whether a task's name is that of rows: a file, or the folder or the hub id of a Hugging Face data set.

    GLUE's names are its tasks, as the folder of such a name may be a run or a data_dir; ``./mrpc`` is a folder.

    Args:
        name: The name.

    Examples:
        >>> is_rows("reviews.csv.gz"), is_rows("SetFit/subj"), is_rows("reviews.yaml"), is_rows("sst2")
        (True, True, False, False)
    """
    if name in TASKS or is_description(name):
        return False
    return _is_file(name) or Path(name).expanduser().is_dir() or ("/" in name and is_hub_id(name))


def _is_file(name: str) -> bool:
    return name.endswith((*_ENDINGS, ".parquet"))


def rows_folder(root: str, name: str) -> Path:
    """The folder of the description of a run's file of rows, beside the run's own folder.

    Args:
        root: Folder of all runs.
        name: The run's name.
    """
    return Path(root).expanduser() / f"{name}-rows"


def described(
    rows: str, folder: Path, texts: Sequence[str] = (), label: str | None = None, group: str | None = None
) -> str:
    """Describe rows for a run, and tell what their columns, and the splits of a data set, were taken for.

    Args:
        rows: A file, or the folder or the hub id of a data set.
        folder: Folder of the description.
        texts: Columns of the texts; empty to find them.
        label: Column of the label; None to find it.
        group: Column whose value is the same in rows that belong together; None if there is none.

    Returns:
        Path of the description, whose task takes the place of the rows.

    Raises:
        StarkError: If the columns are not found; see `find_columns` and `write_description`. Or a data set has several
            splits, but no train.
        StarkFileNotFoundError: If there is no such file or data set, or the hub does not answer.
    """
    place = Path(rows).expanduser()
    if _is_file(rows) and not place.is_dir():
        found = find_columns(place, texts, label, group=group)
        path, parts = write_description(place, found, folder, _HELD_OUT), ""
    else:
        dataset = os.path.abspath(place) if place.is_dir() else rows
        with step(f"reading {rows}"):
            names = split_names(dataset)
            train = train_of(dataset, names)
            found = find_columns(train.path, texts, label, group=group, dataset=train)
            splits = parts_of(train, names, str(found.label), _HELD_OUT)
        path = _write({"dataset": dataset, **splits}, found, folder, place.name)
        parts = f"; {parts_text(splits)}"
    grouped = f", group: {group}" if group else ""
    print(
        printable(
            f"{rows}: text: {', '.join(found.texts)}, label: {label_text(found)}{grouped}{parts}; described in {path}"
        ),
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
    return _write({"train": str(rows.absolute()), "split": {"dev": held_out}}, columns, folder, rows.name)


def _write(parts: Mapping[str, object], columns: Columns, folder: Path, name: str) -> Path:
    """Write a description, which has the name of the rows."""
    # Imported here because it imports torch, which is not needed to read a command's options.
    from stark.problems.multi_label import MultiLabel

    values = {
        **parts,
        **dict(zip(("text", "text_pair"), columns.texts, strict=False)),
        "label": list(columns.label) if isinstance(columns.label, tuple) else columns.label,
        **({"group": columns.group} if columns.group else {}),
        **({"labels": dict(columns.labels)} if columns.labels else {}),
        **({"kind": MultiLabel.kind} if columns.several else {}),
        **({} if columns.separator is None else {"label_separator": columns.separator}),
    }
    path, text = folder / f"{name.split('.')[0]}.yaml", yaml.safe_dump(values, sort_keys=False)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise StarkFileExistsError(
            f"{path} describes the rows otherwise: give it instead of {name} if it is right, or remove it"
        )
    write_text(path, text)
    return path
