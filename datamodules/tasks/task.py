"""The description of a task: its splits, columns, labels and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stark.problems.problem import Problem

__all__ = ["SPLITS", "Task"]


SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class Task:
    """A prediction task on texts or pairs of texts.

    Attributes:
        name: Name of the task, as in the paper.
        splits: The existing splits out of train, dev and test.
        texts: Names of the one or two text columns.
        label_names: Names of the labels in the order of their ids; a single name means regression.
        kind: Name of the kind of label, see `problem_for`.
        metrics: GLUE's names of the metrics; the task's score is their mean.
        submission_file: Name of the file of predictions for test.
        submission_words: Whether this file contains label names instead of label ids.
        score_range: The least and the greatest score that this file may contain; None where there are no such limits.
    """

    name: str
    splits: tuple[str, ...]
    texts: tuple[str, ...]
    label_names: tuple[str, ...]
    metrics: tuple[str, ...]
    submission_file: str
    submission_words: bool
    kind: str | None = None
    score_range: tuple[float, float] | None = None

    @cached_property
    def problem(self) -> Problem:
        """The kind of label."""
        # Imported here because it imports torch, which takes seconds and is not needed to describe a task.
        from stark.problems.table import problem_for

        return problem_for(self.label_names, self.kind)

    @property
    def is_pair(self) -> bool:
        """Whether a row has two texts."""
        return len(self.texts) == 2

    @property
    def num_labels(self) -> int:
        """The number of outputs of a model for this task."""
        return len(self.label_names)
