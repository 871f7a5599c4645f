"""The table of results, docs/sparse_teacher.csv: one number per line, each number once."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from stark.storage import write_text

__all__ = ["TEACHER", "Row", "Table"]

TEACHER = "finetuned"
"""Name of the method in the rows of the finetuned teacher."""


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        task: GLUE's name of the task, in lower case.
        student: Description of the student's shape, for readers.
        method: A baseline's name, ``dense_teacher``, ``sparse_teacher``, or ``finetuned`` for the teacher itself.
        lam: Weight of expressiveness in a sparse teacher's score.
        sparsity: Sparsity of the teacher.
        seed: Seed of the fits.
        metric: Name of the metric: GLUE's names and ``score`` on dev, ``selection_score`` on the selection split,
            ``unused_accuracy`` on rows that belong to no split; ``chosen_by_SEARCH`` is 1 for the student that a search
            chose.
        value: The metric's value.
        seconds: Seconds of the training; for the best of k, of all k trainings together.
    """

    task: str
    student: str
    method: str
    lam: float | None
    sparsity: float | None
    seed: int | None
    metric: str
    value: float
    seconds: float | None

    @property
    def key(self) -> tuple[object, ...]:
        """All columns that identify the number: all but value and seconds."""
        return astuple(self)[:-2]


class Table:
    """The rows of a file.

    Args:
        file: The CSV file; it may not exist yet.
    """

    def __init__(self, file: Path) -> None:
        """Read the file if it exists."""
        self.file = file
        self._rows: dict[tuple[object, ...], Row] = {}
        if file.is_file():
            with file.open(newline="") as opened:
                for number, cells in enumerate(csv.DictReader(opened), start=2):
                    row = _parsed(file, number, cells)
                    self._rows[row.key] = row

    def __iter__(self) -> Iterator[Row]:
        """All rows, in the order in which they were added."""
        return iter(self._rows.values())

    def has(self, **values: object) -> bool:
        """Whether there is a row with these values.

        Args:
            values: Values by name of the column.
        """
        return any(all(getattr(row, name) == value for name, value in values.items()) for row in self)

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows and write the file; a new value replaces an earlier value of the same number.

        Args:
            rows: The rows.
        """
        self._rows.update({row.key: row for row in rows})
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(field.name for field in fields(Row))
        for row in self:
            writer.writerow("" if value is None else value for value in astuple(row))
        write_text(self.file, text.getvalue())


def _parsed(file: Path, number: int, cells: dict[str, str]) -> Row:
    def real(name: str) -> float | None:
        return float(cells[name]) if cells[name] else None

    try:
        return Row(
            cells["task"],
            cells["student"],
            cells["method"],
            real("lam"),
            real("sparsity"),
            int(cells["seed"]) if cells["seed"] else None,
            cells["metric"],
            float(cells["value"]),
            real("seconds"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}, line {number}: no row of results ({error}); restore the file") from error
