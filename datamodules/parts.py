"""The parts of train: rows to train on, the selection part, the rows that keep their labels, and those without any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from datamodules.batches.splits import stratified_rows
from datamodules.settings import Selection
from datamodules.tasks.task import Task
from datamodules.tokens.columns import TokenColumns
from stark.errors import StarkError
from stark.telling import warn_once

__all__ = ["Cuts", "add_unlabelled", "cut_train", "limit_labels", "mean_answers", "seed_of_rows"]


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
    known = torch.full_like(labels, task.problem.unlabelled)
    known[chosen] = labels[chosen]
    return TokenColumns(rows.tokens, rows.starts, rows.lengths, {**rows.fields, "labels": known})


def add_unlabelled(
    train: TokenColumns,
    unlabelled: TokenColumns,
    held_out: Mapping[str, TokenColumns],
    task: Task,
    first: int,
    what: str = "rows without labels",
) -> TokenColumns:
    """Add rows without labels to the rows to train on, except for those that models are chosen or measured on.

    Args:
        train: Rows to train on.
        unlabelled: Rows without a label.
        held_out: Rows by the name of their part. A row that has the tokens of one of them is left out; the numbers of
            these rows are told once.
        task: The task.
        first: The number of the first added row, larger than those of train.
        what: What the added rows are, for messages.

    Returns:
        The rows of train and then the added ones, which have the label that marks an unlabelled row.

    Raises:
        StarkError: All rows are among the held-out ones.
    """
    keys, kept, found = unlabelled.token_keys(), torch.ones(len(unlabelled), dtype=torch.bool), []
    for name, rows in held_out.items():
        known = set(rows.token_keys())
        among = torch.tensor([key in known for key in keys])
        if (among & kept).any():
            found.append(f"{int((among & kept).sum()):,} in {name}")
        kept &= ~among
    if not kept.any():
        raise StarkError(f"task {task.name!r}: all {len(keys):,} {what} are held out: {', '.join(found)}")
    left_out = f"; {', '.join(found)} are left out" if found else ""
    warn_once(f"task {task.name!r}: {what} for distillation: {int(kept.sum()):,}{left_out}")
    added = unlabelled.select(kept.nonzero().flatten())
    labels = torch.full((len(added),), task.problem.unlabelled, dtype=train.fields["labels"].dtype)
    fields = {"idx": added.fields["idx"] + first, "labels": labels}
    return train.joined(TokenColumns(added.tokens, added.starts, added.lengths, fields))


def mean_answers(rows: TokenColumns, answered: TokenColumns, answers: Tensor) -> tuple[Tensor, list[int]]:
    """Find the answers for rows by their tokens.

    Args:
        rows: The rows.
        answered: Rows that were answered; several may have the same tokens.
        answers: Their answers, ``(answered rows, values)``.

    Returns:
        The mean of the answers for each row, ``(rows, values)``, and the places of the rows without an answer, whose
        mean is NaN.
    """
    groups: dict[bytes, int] = {}
    group = torch.tensor([groups.setdefault(key, len(groups)) for key in answered.token_keys()])
    sums = torch.zeros(len(groups) + 1, answers.shape[1], dtype=torch.float64).index_add_(0, group, answers.double())
    counts = group.bincount(minlength=len(groups) + 1)
    places = torch.tensor([groups.get(key, len(groups)) for key in rows.token_keys()])
    means = (sums / counts[:, None])[places].to(answers.dtype)
    return means, (places == len(groups)).nonzero().flatten().tolist()


def _choose(labels: Tensor, size: int, purpose: str, task: Task, cuts: Cuts) -> Tensor:
    return stratified_rows(task.problem.strata(labels), size, seed=seed_of_rows(cuts), purpose=purpose)
