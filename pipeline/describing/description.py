"""The description of a file of rows or of a data set, written for a user who has not written one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from datamodules.sources.dataset import split_names
from datamodules.tasks.dataset_split import DatasetSplit, is_hub_id
from datamodules.tasks.description import is_description
from datamodules.tasks.glue import TASKS
from pipeline.describing.columns import Columns, KnownLabels, find_columns
from pipeline.describing.splits import parts_of, parts_text, train_of
from pipeline.parsing.plain_text import printable
from pipeline.parsing.progress import step
from stark.errors import StarkFileExistsError
from stark.storage import write_text

__all__ = ["RowsPlace", "described", "is_rows", "label_text", "place_of", "rows_folder", "write_description"]

# Fraction of a file of rows that is only reported on.
_HELD_OUT = 0.1

_ENDINGS = tuple(f".{name}{packed}" for name in ("csv", "tsv", "jsonl", "ndjson") for packed in ("", ".gz"))


@dataclass(frozen=True)
class RowsPlace:
    """Where rows are: in a file, or in a data set.

    Args:
        path: The file, or what the data set is called.
        train: The split that is trained on; None for a file.
        splits: Names of the data set's splits.
    """

    path: Path
    train: DatasetSplit | None = None
    splits: Sequence[str] = ()

    def columns(
        self,
        texts: Sequence[str] = (),
        label: str | None = None,
        *,
        group: str | None = None,
        known: KnownLabels | None = None,
        trained: Sequence[str] | None = None,
    ) -> Columns:
        """The columns of the rows; see `find_columns`, whose arguments these are."""
        path = self.path if self.train is None else self.train.path
        return find_columns(path, texts, label, group=group, dataset=self.train, known=known, trained=trained)

    def parts(self, label: str, held_out: float) -> dict[str, object]:
        """The rows of each part, as a description names them; see `parts_of`.

        Args:
            label: Column of the label.
            held_out: Fraction of the rows that becomes dev where no split is.
        """
        if self.train is None:
            return {"train": str(self.path.absolute()), "split": {"dev": held_out}}
        return {"dataset": self.train.dataset, **parts_of(self.train, self.splits, label, held_out)}


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
    place = place_of(rows)
    found = place.columns(texts, label, group=group)
    parts = place.parts(str(found.label), _HELD_OUT)
    path = write_description(parts, found, folder, place.path.name)
    told = "" if place.train is None else f"; {parts_text(parts)}"
    grouped = f", group: {group}" if group else ""
    parted = f", delimiter: {found.delimiter!r}" if found.delimiter else ""
    print(
        printable(
            f"{rows}: text: {', '.join(found.texts)}, label: {label_text(found)}{grouped}{parted}{told}; described in "
            f"{path}"
        ),
        file=sys.stderr,
    )
    return str(path)


def place_of(rows: str) -> RowsPlace:
    """Find rows.

    Args:
        rows: A file, or the folder or the hub id of a data set.

    Raises:
        StarkError: If a data set has several splits, but no train.
        StarkFileNotFoundError: If there is no such data set, or the hub does not answer.
    """
    path = Path(rows).expanduser()
    if not path.is_dir() and (_is_file(rows) or not is_rows(rows)):
        return RowsPlace(path)
    dataset = os.path.abspath(path) if path.is_dir() else rows
    with step(f"reading {rows}"):
        names = split_names(dataset)
        return RowsPlace(Path(dataset), train_of(dataset, names), names)


def label_text(columns: Columns) -> str:
    """The columns of the label, as text.

    Examples:
        >>> label_text(Columns(("text",), ("joy", "love"), {}, several=True))
        'joy, love'
    """
    return columns.label if isinstance(columns.label, str) else ", ".join(columns.label or ())


def write_description(parts: Mapping[str, object], columns: Columns, folder: Path, name: str) -> Path:
    """Write the YAML of a task.

    Args:
        parts: What `RowsPlace.parts` returns.
        columns: The columns of the rows.
        folder: Folder of the YAML.
        name: Name of the rows, which the YAML has, too.

    Returns:
        Path of the YAML.

    Raises:
        StarkFileExistsError: If there is another description, which somebody may have changed.
    """
    # Imported here because it imports torch, which is not needed to read a command's options.
    from stark.problems.multi_label import MultiLabel

    kind = MultiLabel.kind if columns.several else columns.kind
    values: dict[str, object] = {
        **parts,
        **dict(zip(("text", "text_pair"), columns.texts, strict=False)),
        "label": list(columns.label) if isinstance(columns.label, tuple) else columns.label,
        **({"group": columns.group} if columns.group else {}),
        **({"delimiter": columns.delimiter} if columns.delimiter else {}),
        **({"labels": dict(columns.labels)} if columns.labels else {}),
        **({} if kind is None else {"kind": kind}),
        **({} if columns.separator is None else {"label_separator": columns.separator}),
    }
    path, text = folder / f"{name.split('.')[0]}.yaml", yaml.safe_dump(values, sort_keys=False)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise StarkFileExistsError(
            f"{path} describes the rows otherwise: give it instead of {name} if it is right, or remove it"
        )
    write_text(path, text)
    return path
