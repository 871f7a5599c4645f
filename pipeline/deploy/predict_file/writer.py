"""Writes rows with their predictions."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import Any, BinaryIO

from datamodules.sources.lines import is_unicode
from datamodules.sources.records import Record, Records, spelled
from datamodules.sources.several_labels import joined_labels
from datamodules.tasks.record_format import RecordFormat
from pipeline.deploy.classifier import Classified, Classifier
from stark.errors import StarkError

__all__ = ["LABEL", "PROBABILITY", "RowWriter", "rounded"]

LABEL, PROBABILITY = "predicted", "probability"
"""The first new columns; that of a class is ``probability_<its name>``."""

# The beginning of cells that a spreadsheet takes for formulas.
_FORMULA = re.compile(r"[=+\-@\t\r\n]")
# A file for csv.writer whose `write` returns the line, so that `writerow` returns it, too.
_RETURNING = SimpleNamespace(write=lambda line: line)


class RowWriter:
    """Writes rows with their predictions, in UTF-8. In a table all rows have the columns of the first one.

    Args:
        stream: Where to write.
        form: Format of the output.
        records: The input's rows, of which those that `refuses` takes are written.
        classifier: What predicts.
        texts: Columns of the texts.
        name: Name of the input in messages.
        escape_formulas: Whether cells that a spreadsheet takes for formulas get an apostrophe.

    Raises:
        StarkError: If the input has columns that the output cannot have.
    """

    def __init__(
        self,
        stream: BinaryIO,
        form: RecordFormat,
        records: Records,
        classifier: Classifier,
        texts: Sequence[str],
        name: str,
        escape_formulas: bool,
    ) -> None:
        """Write the head of a table whose columns are known."""
        self._stream, self._form, self._texts, self._labels = stream, form, texts, classifier.label_names
        self._problem, self._separator = classifier.problem, classifier.separator
        self._escape, self._formulas = escape_formulas, 0
        self._new = [LABEL]
        if self._problem.several:
            self._new += [f"{PROBABILITY}_{label}" for label in self._labels]
        elif self._problem.has_classes:
            self._new += [PROBABILITY, *(f"{PROBABILITY}_{label}" for label in self._labels)]
        self._columns: tuple[str, ...] | None = None
        if records.columns is None:
            return
        if taken := [column for column in self._new if column in records.columns]:
            raise StarkError(f"{name} has a column {taken[0]!r} already: rename it")
        if form.json_lines and len(set(records.columns)) < len(records.columns):
            raise StarkError(
                f"{name} has columns of the same name, which JSON lines cannot hold: choose another --output"
            )
        self._start(records.columns)

    @property
    def notes(self) -> list[str]:
        """Remarks on the rows that were written, for the user."""
        if not self._formulas:
            return []
        cells = "1 cell looks" if self._formulas == 1 else f"{self._formulas} cells look"
        done = "and got a ' in front" if self._escape else "to a spreadsheet: --escape_formulas puts a ' in front"
        return [f"{cells} like a formula {done}"]

    def refuses(self, row: Record) -> str | None:
        """The reason why a row cannot be classified or written; None if it can.

        Args:
            row: The row.
        """
        try:
            for column in self._texts:
                row.text(column)
        except ValueError as error:
            return str(error)
        if row.columns is self._columns:
            return None
        if taken := [column for column in self._new if column in row.columns]:
            return f"it has a column {taken[0]!r} already: rename it"
        if not self._form.json_lines:
            for column, cell in zip(row.columns, row.cells, strict=True):
                if not is_unicode(column + _spelled(cell)):
                    return f"{column} has half a surrogate pair, which a table cannot hold"
                if self._columns is not None and column not in self._columns:
                    return f"it has the column {column}, which the first row lacks"
            if self._columns is None:
                self._start(row.columns)
        return None

    def write(self, rows: Sequence[Record], found: Classified) -> None:
        """Write rows.

        Args:
            rows: Rows that are not refused.
            found: Their predictions.
        """
        each = zip(rows, found.predictions.tolist(), found.probabilities.tolist(), strict=True)
        for row, prediction, probabilities in each:
            predicted = self._predicted(prediction, probabilities)
            if not self._form.json_lines:
                assert self._columns is not None
                values = row.values
                own = row.cells if row.columns is self._columns else [values.get(name) for name in self._columns]
                self._write_cells([_spelled(cell) for cell in (*own, *predicted.values())])
            elif row.columns is self._columns:
                self._write(json.dumps({**row.values, **predicted}, ensure_ascii=False))
            else:
                # Copied from the file, so that numbers and halves of surrogate pairs keep their spelling.
                self._write(f"{row.raw[:-1].rstrip()}, {json.dumps(predicted, ensure_ascii=False)[1:]}")

    def _start(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        if not self._form.json_lines:
            self._write_cells([*columns, *self._new])

    def _write_cells(self, cells: Iterable[str]) -> None:
        # With this line terminator csv also quotes fields that contain a single carriage return.
        writer = csv.writer(_RETURNING, delimiter=self._form.delimiter, lineterminator="\r\n")
        line: str = writer.writerow([self._safe(cell) for cell in cells])
        self._write(line.removesuffix("\r\n"))

    def _safe(self, cell: str) -> str:
        if not _is_formula(cell):
            return cell
        self._formulas += 1
        return f"'{cell}" if self._escape else cell

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n".encode())

    def _predicted(self, prediction: Any, probabilities: Sequence[float]) -> dict[str, Any]:  # noqa: ANN401 - see below
        """The new columns of a row, whose prediction is a score, the number of a class, or a mark for each class."""
        numbers = [rounded(value) for value in probabilities]
        if self._problem.several:
            labels = [label for label, has in zip(self._labels, prediction, strict=True) if has]
            own = labels if self._form.json_lines else joined_labels(labels, self._separator)
            return dict(zip(self._new, [own, *numbers], strict=True))
        if not self._problem.has_classes:
            return {LABEL: rounded(prediction)}
        label = int(prediction)
        return dict(zip(self._new, [self._labels[label], numbers[label], *numbers], strict=True))


def rounded(value: float) -> float:
    """A number as it is written, with six digits.

    Args:
        value: The number.

    Examples:
        >>> rounded(2 / 3)
        0.666667
    """
    return float(f"{value:.6g}")


def _spelled(cell: object) -> str:
    return "" if cell is None else spelled(cell)


def _is_formula(cell: str) -> bool:
    """Whether a spreadsheet takes a cell for a formula; numbers with a sign are not formulas.

    Examples:
        >>> _is_formula("=1+1"), _is_formula("-5.5"), _is_formula("- a list")
        (True, False, True)
    """
    if _FORMULA.match(cell) is None:
        return False
    try:
        float(cell)
    except ValueError:
        return True
    return False
