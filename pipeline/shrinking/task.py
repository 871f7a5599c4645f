"""The task that a classifier has on a user's rows: with their labels, or its own predictions where there are none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jsonargparse import Namespace

from pipeline.deploy.model_data import config_of, texts_of
from pipeline.deploy.predict_file.predict_file import predict_file
from pipeline.describing.columns import Columns, KnownLabels, find_columns
from pipeline.describing.description import label_text, write_description
from pipeline.parsing.plain_text import printable
from stark.errors import StarkError
from stark.model_folders.model_folder import labels_of
from stark.model_folders.model_inputs import ModelInputs
from stark.problems.classification import Classification
from stark.problems.multi_label import MultiLabel
from stark.problems.regression import Regression
from stark.problems.table import problem_of

__all__ = ["RowsTask", "write_task"]

_PREDICTED = "predicted"
# The fraction of the rows that students are only measured on.
_HELD_OUT = 0.2


class RowsTask(NamedTuple):
    """The task of a model on a file of rows.

    Args:
        path: Path of its description.
        has_labels: Whether the rows have labels of their own.
    """

    path: Path
    has_labels: bool


def write_task(model: Path, rows: Path, folder: Path, texts: Sequence[str] = (), label: str | None = None) -> RowsTask:
    """Describe the task of a model on a file of rows, as `read_own_task` reads it.

    A fifth of the rows is dev. Rows without a label get the model's own prediction, so that a student is measured by
    how often it agrees with the model.

    Args:
        model: Folder of the model.
        rows: File of rows.
        folder: Folder for the description, and for the rows with predictions.
        texts: Columns of the texts; empty to find them.
        label: Column of the label; None to find it.

    Returns:
        The task.

    Raises:
        StarkError: If the model's labels are of another kind, or the columns are not found.
    """
    config = config_of(model)
    if type(problem := problem_of(config)) not in (Classification, MultiLabel, Regression):
        raise StarkError(
            f"{model} has labels of kind {problem.kind}: describe the rows in a YAML, and give it as --data"
        )
    inputs = ModelInputs.read(config)
    separator = None if inputs is None else inputs.separator
    known = KnownLabels(tuple(labels_of(config)), problem.several, separator)
    found, has_labels = find_columns(rows, texts, label, known=known, trained=texts_of(model)), True
    named = ", ".join(found.texts)
    if found.label is None:
        told = f"{rows}: no column has the model's labels, so that its own predictions take their place; text: {named}"
        has_labels = False
        found, rows = _predicted(model, rows, folder, found, known)
    else:
        told = f"{rows}: text: {named}, label: {label_text(found)}"
    print(printable(told), file=sys.stderr)
    path = write_description(rows, found, folder, _HELD_OUT)
    return RowsTask(path, has_labels)


def _predicted(model: Path, rows: Path, folder: Path, columns: Columns, known: KnownLabels) -> tuple[Columns, Path]:
    """Write the rows with the model's predictions."""
    ending = rows.name.removesuffix(".gz").rpartition(".")[2].replace("parquet", "jsonl")
    target = folder / f"{rows.name.split('.')[0]}.{ending}"
    folder.mkdir(parents=True, exist_ok=True)
    predict_file(
        Namespace(
            model=str(model),
            input=str(rows),
            output=str(target),
            overwrite=False,
            text=columns.texts[0],
            text_pair=columns.texts[1] if len(columns.texts) > 1 else None,
            delimiter=None,
            quoting=None,
            encoding=None,
            header=None,
            escape_formulas=False,
            batch_size=32,
            max_length=None,
            windows=False,
        )
    )
    return Columns(
        columns.texts, _PREDICTED, {name: name for name in known.names}, known.several, known.separator
    ), target
