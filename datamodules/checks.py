"""Warnings about the parts of a task's rows: classes without rows, or a dev split with the same texts as train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from datamodules.tasks.task import Task
from datamodules.tokens.columns import TokenColumns
from stark.problems.problem import Problem
from stark.telling import warn_once

__all__ = ["doubts_of", "same_rows", "warn_of_doubts"]

_MOST_NAMES = 5


def doubts_of(parts: Mapping[str, TokenColumns], problem: Problem) -> list[str]:
    """Return a sentence for each problem with the labels of parts.

    Args:
        parts: Rows by the name of their part.
        problem: The kind of label.

    Examples:
        >>> from stark.problems.table import problem_for
        >>> rows = TokenColumns({}, torch.zeros(3), torch.ones(3), {"labels": torch.tensor([0, 1, 1])})
        >>> doubts_of({"dev": rows}, problem_for(["a", "b", "c"]))
        ["dev has no row of 'c'"]
    """
    doubts = []
    for name, rows in parts.items():
        labels = rows.fields["labels"]
        known = labels[problem.is_labelled(labels)]
        values = problem.right_answers(known)
        if len(known) and bool((values == values[0]).all()):
            only = _named(problem, values[0])
            doubts.append(f"{name} has only rows of {only}, so that nothing can be learned or measured on it")
        elif problem.has_classes and (missing := (~problem.memberships(known).any(0)).nonzero().flatten().tolist()):
            doubts.append(f"{name} has no row of {_listed(problem, missing)}")
        elif len(known) and (doubt := problem.doubt(known)):
            doubts.append(f"{name} has {doubt}")
    return doubts


def _named(problem: Problem, label: Tensor) -> str:
    """Return what a row's label says."""
    if not problem.has_classes:
        return f"the score {float(label):g}"
    return _listed(problem, problem.memberships(label[None])[0].nonzero().flatten().tolist()) or "no label"


def _listed(problem: Problem, labels: Sequence[int]) -> str:
    more = f" and {len(labels) - _MOST_NAMES} more" if len(labels) > _MOST_NAMES else ""
    return ", ".join(repr(problem.label_names[label]) for label in labels[:_MOST_NAMES]) + more


def same_rows(first: TokenColumns, second: TokenColumns) -> bool:
    """Whether two splits have the same texts, in any order.

    Args:
        first: Rows of a split.
        second: Rows of another split.
    """
    if not torch.equal(first.lengths.sort().values, second.lengths.sort().values):
        return False
    return sorted(first.token_keys()) == sorted(second.token_keys())


def warn_of_doubts(task: Task, parts: Mapping[str, TokenColumns], splits: Mapping[str, TokenColumns]) -> None:
    """Log a warning for each reason to doubt a score on these rows, once per process.

    Args:
        task: The rows' task.
        parts: Parts of train by their names.
        splits: The splits that have been read; dev is checked if it is one of them.
    """
    dev = splits.get("dev")
    parts = {name: rows for name, rows in parts.items() if rows is not dev} | ({} if dev is None else {"dev": dev})
    doubts = doubts_of(parts, task.problem)
    if dev is not None and "train" in splits and same_rows(splits["train"], dev):
        doubts.append("dev has the same texts as train, so that a score on it does not hold for other rows")
    for doubt in doubts:
        warn_once(f"warning: task {task.name!r}: {doubt}")
