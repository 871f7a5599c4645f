"""The task that a classifier has on a user's rows: with their labels, or its own predictions where there are none."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from jsonargparse import Namespace

from datamodules.sources.dataset import dataset_lines
from pipeline.deploy.model_data import config_of, texts_of
from pipeline.deploy.predict_file.predict_file import predict_file
from pipeline.describing.columns import Columns, KnownLabels
from pipeline.describing.description import RowsPlace, label_text, place_of, write_description
from pipeline.parsing.plain_text import printable
from stark.errors import StarkError
from stark.model_folders.model_folder import labels_of
from stark.model_folders.model_inputs import ModelInputs
from stark.problems.classification import Classification
from stark.problems.multi_label import MultiLabel
from stark.problems.ranking import Ranking
from stark.problems.regression import Regression
from stark.problems.table import problem_of
from stark.storage import new_file

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


def write_task(model: Path, rows: str, folder: Path, texts: Sequence[str] = (), label: str | None = None) -> RowsTask:
    """Describe the task of a model on rows, as `read_own_task` reads it.

    A fifth of the rows is dev, unless a data set has a split for it. Rows without a label get the model's own
    prediction, so that a student is measured by how often it agrees with the model.

    Args:
        model: Folder of the model.
        rows: File of rows, or the folder or the hub id of a data set.
        folder: Folder for the description, and for the rows with predictions.
        texts: Columns of the texts; empty to find them.
        label: Column of the label; None to find it.

    Returns:
        The task.

    Raises:
        StarkError: If the model's labels are of another kind, the columns are not found, or rows that a model ranks
            have no label.
    """
    config = config_of(model)
    if type(problem := problem_of(config)) not in (Classification, MultiLabel, Ranking, Regression):
        raise StarkError(
            f"{model} has labels of kind {problem.kind}: describe the rows in a YAML, and give it as --data"
        )
    inputs = ModelInputs.read(config)
    separator = None if inputs is None else inputs.separator
    known = KnownLabels(tuple(labels_of(config)), problem.several, separator)
    place = place_of(rows)
    found, has_labels = place.columns(texts, label, known=known, trained=texts_of(model)), True
    named = ", ".join(found.texts)
    if found.label is None and problem.by_group:
        raise StarkError(f"{rows} needs the relevance of each row for its query: name its column by --label")
    if found.label is None:
        told = f"{rows}: no column has the model's labels, so that its own predictions take their place; text: {named}"
        has_labels = False
        found, place = _predicted(model, place, folder, found, known)
    else:
        told = f"{rows}: text: {named}, label: {label_text(found)}"
    print(printable(told), file=sys.stderr)
    found = replace(found, kind=problem.kind if problem.by_group else None)
    parts = place.parts(str(found.label), _HELD_OUT)
    return RowsTask(write_description(parts, found, folder, place.path.name), has_labels)


def _predicted(
    model: Path, place: RowsPlace, folder: Path, columns: Columns, known: KnownLabels
) -> tuple[Columns, RowsPlace]:
    """Write the rows, of a data set those of train, with the model's predictions.

    They are written as the file's ending says; where that is not how the file is, as JSON lines.
    """
    rows, name = place.path, place.path.name.split(".")[0]
    folder.mkdir(parents=True, exist_ok=True)
    if place.train is not None:
        rows = folder / f"{name}.{place.train.split}.jsonl"
        with dataset_lines(place.train) as lines, new_file(rows) as temporary, temporary.open("wb") as file:
            shutil.copyfileobj(lines, file)
    ending = rows.name.removesuffix(".gz").rpartition(".")[2].replace("parquet", "jsonl")
    if columns.delimiter is not None:
        ending = "jsonl"
    target = folder / f"{name}.{ending}"
    predict_file(
        Namespace(
            model=str(model),
            input=str(rows),
            output=str(target),
            overwrite=False,
            text=columns.texts[0],
            text_pair=columns.texts[1] if len(columns.texts) > 1 else None,
            delimiter=columns.delimiter,
            quoting=None,
            encoding=None,
            header=None,
            escape_formulas=False,
            batch_size=32,
            max_length=None,
            windows=False,
        )
    )
    found = Columns(columns.texts, _PREDICTED, {name: name for name in known.names}, known.several, known.separator)
    return found, RowsPlace(target)
