"""docs/results.csv: one number a line, each known once."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from stark.storage import write_text

__all__ = ["TEACHER", "Row", "Table"]

TEACHER = "finetuned"
"""The method of the teacher itself."""


@dataclass(frozen=True)
class Row:
    """A line.

    Args:
        task: GLUE's name in lower case.
        student: Its shape, for a person.
        method: A baseline's name, ``dense_teacher``, ``sparse_teacher``, or ``finetuned`` for the teacher itself.
        lam: Of a sparse teacher's score.
        sparsity: Of the teacher.
        seed: Of the fits.
        metric: GLUE's names and ``score`` are of dev, ``selection_score`` of the selection part, ``unused_accuracy`` of
            rows that were in no part; ``chosen_by_SEARCH`` is 1 for the student that a search chose.
        value: Its value.
        seconds: That the training took; for the best of k all of them.
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
        """What it is the value of."""
        return astuple(self)[:-2]


class Table:
    """The rows of a file.

    Args:
        file: Need not be there yet.
    """

    def __init__(self, file: Path) -> None:
        """Read what is there."""
        self.file = file
        self._rows: dict[tuple[object, ...], Row] = {}
        if file.is_file():
            with file.open(newline="") as opened:
                for number, cells in enumerate(csv.DictReader(opened), start=2):
                    row = _parsed(file, number, cells)
                    self._rows[row.key] = row

    def __iter__(self) -> Iterator[Row]:
        """All rows, those that came first first."""
        return iter(self._rows.values())

    def has(self, **values: object) -> bool:
        """Whether there is a row with these values.

        Args:
            values: By column.
        """
        return any(all(getattr(row, name) == value for name, value in values.items()) for row in self)

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows and write the file; of a number that is known already the new value counts.

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
