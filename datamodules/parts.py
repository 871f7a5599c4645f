"""The parts of train: rows to train on, the selection part, and the rows that keep their labels."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from datamodules.batches.splits import stratified_rows
from datamodules.settings import Selection
from datamodules.tasks.task import Task
from datamodules.tokens.columns import TokenColumns
from stark.errors import StarkError

__all__ = ["Cuts", "cut_train", "limit_labels", "seed_of_rows"]


class Cuts(Protocol):
    """Settings that determine the parts; see `DataSettings`."""

    train_limit: int | None
    labelled_limit: int | None
    use_unlabelled: bool
    selection: Selection
    selection_fraction: float
    seed: int
    cut_seed: int | None


def seed_of_rows(cuts: Cuts) -> int:
    """Return the seed that decides which rows there are: that of the cuts, else that of the fit.

    Args:
        cuts: The settings.
    """
    return cuts.seed if cuts.cut_seed is None else cuts.cut_seed


def cut_train(labels: Tensor, task: Task, cuts: Cuts) -> dict[str, Tensor]:
    """Cut train into the rows to train on and the selection part, all of whose rows have a label.

    Args:
        labels: Labels of all rows of train.
        task: The task.
        cuts: The settings.

    Returns:
        Row numbers by part; without ``selection`` if the selection part is GLUE's dev.

    Raises:
        StarkError: If a part would have no rows.
    """
    kept = torch.arange(len(labels))
    if cuts.train_limit is not None and cuts.train_limit < len(labels):
        kept = _choose(labels, cuts.train_limit, "train_limit", task, cuts)
    if cuts.selection == "validation":
        return {"train": kept}
    labelled = task.problem.is_labelled(labels[kept]).nonzero().flatten()
    size = round(cuts.selection_fraction * len(labelled))
    if not 0 < size < len(labelled):
        raise StarkError(
            f"selection_fraction is {cuts.selection_fraction}: of {len(labelled)} rows of train that makes a selection "
            f"part of {size} rows and leaves {len(labelled) - size} to train on"
        )
    chosen = torch.zeros(len(kept), dtype=torch.bool)
    chosen[labelled[_choose(labels[kept][labelled], size, "selection", task, cuts)]] = True
    return {"train": kept[~chosen], "selection": kept[chosen]}


def limit_labels(rows: TokenColumns, task: Task, cuts: Cuts) -> TokenColumns:
    """Keep at most ``labelled_limit`` labelled rows; drop the others, or only their labels.

    Rows that have no label in the file are dropped as well, or stay as they are.

    Args:
        rows: Rows to train on.
        task: The task.
        cuts: The settings.

    Returns:
        The rows that keep their labels. With ``use_unlabelled`` all rows, where the others have the label that marks
        an unlabelled row.
    """
    labels = rows.fields["labels"]
    chosen = task.problem.is_labelled(labels).nonzero().flatten()
    if cuts.labelled_limit is not None and cuts.labelled_limit < len(chosen):
        chosen = chosen[_choose(labels[chosen], cuts.labelled_limit, "labelled_limit", task, cuts)]
    elif len(chosen) == len(rows):
        return rows
    if not cuts.use_unlabelled:
        return rows.select(chosen)
    known = task.problem.unlabelled_rows(len(labels)).to(labels.dtype)
    known[chosen] = labels[chosen]
    return TokenColumns(rows.tokens, rows.starts, rows.lengths, {**rows.fields, "labels": known}, rows.lost)


def _choose(labels: Tensor, size: int, purpose: str, task: Task, cuts: Cuts) -> Tensor:
    return stratified_rows(task.problem.strata(labels), size, seed=seed_of_rows(cuts), purpose=purpose)
