"""The results of the experiments on students: numbers in docs/results.csv, and predictions that differences need."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stark.storage import new_file, write_text
from stark.storage.locks import folder_lock

__all__ = ["INT8_TEACHER", "TEACHER", "Results", "Row"]

TEACHER = "teacher"
"""Name of the recipe in the rows of the finetuned teacher."""

INT8_TEACHER = "teacher, 8 bits"
"""Name of the recipe in the rows of the finetuned teacher with weights of 8 bits."""

# In the file of predictions.
_LABELS = "labels"
# Seconds to wait for another process that writes.
_PATIENCE = 600.0


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        cell: Name of the cell.
        recipe: Name of the recipe, `TEACHER`, or the name of a simple alternative.
        seed: Seed of the student; None for what is trained once.
        metric: Name of the metric.
        value: Its value.
        seconds: Seconds of the training.
    """

    cell: str
    recipe: str
    seed: int | None
    metric: str
    value: float
    seconds: float | None


class Results:
    """The files of results; what is in them is not measured again.

    Args:
        docs: Folder with ``results.csv`` and ``results/``; they may not exist yet.
    """

    def __init__(self, docs: Path) -> None:
        """Read the table."""
        self._file, self._folder = docs / "results.csv", docs / "results"
        self.rows: list[Row] = []
        self.read()

    def read(self) -> None:
        """Read the table again, to which another process may have added."""
        if self._file.is_file():
            with self._file.open(encoding="utf-8", newline="") as file:
                self.rows = [_row(line) for line in csv.DictReader(file)]

    def has(self, cell: str, recipe: str, seeds: Iterable[int]) -> bool:
        """Whether all students of a recipe are measured.

        Args:
            cell: Name of the cell.
            recipe: Name of the recipe.
            seeds: The seeds.
        """
        return set(seeds) <= {row.seed for row in self.rows if (row.cell, row.recipe) == (cell, recipe)}

    def values(self, cell: str, recipe: str, metric: str) -> list[float]:
        """The values of a metric, in the order of the seeds.

        Args:
            cell: Name of the cell.
            recipe: Name of the recipe.
            metric: Name of the metric.
        """
        own = [row for row in self.rows if (row.cell, row.recipe, row.metric) == (cell, recipe, metric)]
        return [row.value for row in sorted(own, key=lambda row: row.seed or 0)]

    def add(self, cell: str, rows: Iterable[Row], labels: Tensor, predictions: Mapping[str, Tensor]) -> None:
        """Write results; the table is written last, as what is in it counts as finished.

        Several processes may add to the same files.

        Args:
            cell: Name of the cell.
            rows: The numbers; they replace those of the same recipe and seed.
            labels: Labels of dev, ``(rows,)``.
            predictions: By recipe, ``(seeds, rows)``, in the order of the seeds.
        """
        with folder_lock(self._folder, patience=_PATIENCE):
            self.read()
            self._write_predictions(cell, {**self.predictions(cell), _LABELS: labels, **predictions})
            self._write_rows(list(rows))

    def _write_predictions(self, cell: str, predictions: Mapping[str, Tensor]) -> None:
        kind = np.float16 if predictions[_LABELS].is_floating_point() else np.uint8
        kinds = {name: np.float32 if name == _LABELS else kind for name in predictions}
        arrays = {name: tensor.numpy().astype(kinds[name]) for name, tensor in predictions.items()}
        with new_file(self._folder / f"{cell}.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    def _write_rows(self, rows: Sequence[Row]) -> None:
        replaced = {(row.cell, row.recipe, row.seed) for row in rows}
        self.rows = [row for row in self.rows if (row.cell, row.recipe, row.seed) not in replaced] + list(rows)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([field.name for field in fields(Row)])
        writer.writerows(astuple(row) for row in self.rows)
        write_text(self._file, text.getvalue())

    def predictions(self, cell: str) -> dict[str, Tensor]:
        """The predictions of a cell's students for dev, by recipe, and the labels.

        Args:
            cell: Name of the cell.

        Returns:
            Tensors ``(seeds, rows)``, and ``labels`` of shape ``(rows,)``; empty if nothing has been measured.
        """
        path = self._folder / f"{cell}.npz"
        if not path.is_file():
            return {}
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays.files}


def _row(line: Mapping[str, str]) -> Row:
    seed, seconds = line["seed"], line["seconds"]
    return Row(
        line["cell"],
        line["recipe"],
        int(seed) if seed else None,
        line["metric"],
        float(line["value"]),
        float(seconds) if seconds else None,
    )
