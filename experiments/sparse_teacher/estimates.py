"""Confidence intervals of the differences between methods, over all cells that have been run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from datamodules.tasks.glue import find_task
from experiments.sparse_teacher.plan import Cell
from pipeline.results.comparison import DENSE, EITHER, SPARSE
from pipeline.results.statistics import Cell as Compared
from pipeline.results.statistics import Estimate, estimate_difference
from stark.problems.metrics import score_function
from stark.storage import read_tensors

__all__ = ["Difference", "differences"]


@dataclass(frozen=True)
class Difference:
    """The mean over cells of one method's score minus another's, in points.

    Args:
        treated: The method whose score counts positively.
        control: The method whose score is subtracted.
        cells: Task and student of each cell.
        estimate: The difference and its interval, in points (hundredths).
    """

    treated: str
    control: str
    cells: Sequence[tuple[str, str]]
    estimate: Estimate


def differences(
    cells: Sequence[Cell],
    folder: Path,
    pairs: Sequence[tuple[str, str]],
    search: str,
    picks: Callable[[Cell], Sequence[str]],
) -> list[Difference]:
    """Estimate differences over all cells together, and in each.

    Args:
        cells: The plan's cells; those without predictions are skipped.
        folder: Folder with one file of predictions per cell, as `keep_predictions` writes them.
        pairs: Pairs of a treated method and its control.
        search: Name of the search whose predictions are compared.
        picks: Function from a cell to the method whose student `EITHER` takes, for each seed.

    Returns:
        For each pair the difference over all cells, and then, if there are several cells, the difference in each.
    """
    found = []
    for treated, control in pairs:
        compared = []
        for cell in cells:
            file = folder / f"{cell.name}_{search}.safetensors"
            if file.is_file():
                compared.append(_compared(cell, read_tensors(file)[0], treated, control, picks(cell)))
        groups = [compared, *([one] for one in compared if len(compared) > 1)]
        found += [_difference(treated, control, group) for group in groups if group]
    return found


def _compared(cell: Cell, tensors: dict[str, Tensor], treated: str, control: str, picks: Sequence[str]) -> Compared:
    def said(method: str) -> Tensor:
        if method == EITHER:
            both = {name: said(name) for name in (DENSE, SPARSE)}
            return torch.stack([both[pick][number] for number, pick in enumerate(picks)])
        seeds = sorted(int(name.split("/")[1]) for name in tensors if name.startswith(f"{method}/"))
        if not seeds:
            raise ValueError(f"{cell.task}, {cell.student}: there are no predictions of {method}; remove its file")
        return torch.stack([tensors[f"{method}/{seed}"] for seed in seeds])

    task = find_task(cell.task)
    score = score_function(task.metrics, len(task.label_names))
    return Compared(cell.task, cell.student, tensors["labels"], said(control), said(treated), score)


def _difference(treated: str, control: str, cells: Sequence[Compared]) -> Difference:
    found = estimate_difference(cells)
    points = Estimate(100 * found.value, 100 * found.low, 100 * found.high)
    return Difference(treated, control, [(cell.task, cell.student) for cell in cells], points)
