"""The parts of train: rows to train on, the selection part, and the rows that keep their labels."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from datamodules.batches.splits import stratified_groups, stratified_rows
from datamodules.settings import Selection
from datamodules.tasks.task import Task
from datamodules.tokens.columns import TokenColumns
from stark.errors import StarkError
from stark.telling import warn_once

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


def cut_train(labels: Tensor, task: Task, cuts: Cuts, groups: Tensor | None = None) -> dict[str, Tensor]:
    """Cut train into the rows to train on and the selection part, all of whose rows have a label.

    Args:
        labels: Labels of all rows of train.
        task: The task.
        cuts: The settings.
        groups: Number of each row's group, of rows that must not be divided: whole groups are taken, and so about as
            many rows. A group with an unlabelled row is not selected. None if there are none.

    Returns:
        Row numbers by part; without ``selection`` if the selection part is GLUE's dev.

    Raises:
        StarkError: If a part would have no rows.
    """
    kept = torch.arange(len(labels))
    if cuts.train_limit is not None and cuts.train_limit < len(labels):
        kept = _choose(labels, cuts.train_limit, "train_limit", task, cuts, groups)
    if cuts.selection == "validation":
        return {"train": kept}
    labelled = task.problem.is_labelled(labels[kept]).nonzero().flatten()
    size = round(cuts.selection_fraction * len(labelled))
    if not 0 < size < len(labelled):
        raise StarkError(
            f"selection_fraction is {cuts.selection_fraction}: of {len(labelled)} rows of train that makes a selection "
            f"part of {size} rows and leaves {len(labelled) - size} to train on"
        )
    own = None if groups is None else groups[kept]
    if own is not None:
        is_divided = torch.isin(own, own[~task.problem.is_labelled(labels[kept])])
        labelled = labelled[~is_divided[labelled]]
        own = own[labelled]
    chosen = torch.zeros(len(kept), dtype=torch.bool)
    chosen[labelled[_choose(labels[kept][labelled], size, "selection", task, cuts, own)]] = True
    parts = {"train": kept[~chosen], "selection": kept[chosen]}
    if groups is not None:
        counted = {name: (len(rows), len(groups[rows].unique())) for name, rows in parts.items()}
        if not all(rows for rows, _ in counted.values()):
            raise StarkError(
                f"selection_fraction is {cuts.selection_fraction}, and the groups of rows are too few or too large: "
                f"that leaves {counted['train'][0]} rows to train on and {counted['selection'][0]} to select by"
            )
        told = ", ".join(f"{name} {rows:,} rows of {number:,} groups" for name, (rows, number) in counted.items())
        warn_once(f"task {task.name!r}: no group of rows is divided: {told}")
    return parts


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


def _choose(labels: Tensor, size: int, purpose: str, task: Task, cuts: Cuts, groups: Tensor | None = None) -> Tensor:
    strata, seed = task.problem.strata(labels), seed_of_rows(cuts)
    if groups is None:
        return stratified_rows(strata, size, seed=seed, purpose=purpose)
    return stratified_groups(strata, groups, size, seed=seed, purpose=purpose)
