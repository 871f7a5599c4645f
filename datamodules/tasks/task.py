"""What a task is: its splits, columns, labels and metrics."""

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
    """What is to be told about a text or a pair of texts.

    Attributes:
        name: Name of the task, as in the paper.
        splits: Those that exist, of train, dev and test.
        texts: Names of its one or two columns of text.
        label_names: Names of the labels in the order of their ids; a single name means regression.
        kind: Name of the kind of label, see `problem_for`.
        metrics: Under GLUE's names; the task's score is their mean.
        submission_file: Name of the file of predictions for test.
        submission_words: Whether that holds label names instead of label ids.
    """

    name: str
    splits: tuple[str, ...]
    texts: tuple[str, ...]
    label_names: tuple[str, ...]
    metrics: tuple[str, ...]
    submission_file: str
    submission_words: bool
    kind: str | None = None

    @cached_property
    def problem(self) -> Problem:
        """The kind of label."""
        # It imports torch, which takes seconds and which the description of a task does not need.
        from stark.problems.table import problem_for

        return problem_for(self.label_names, self.kind)

    @property
    def is_pair(self) -> bool:
        """Whether a row has two texts."""
        return len(self.texts) == 2

    @property
    def num_labels(self) -> int:
        """How many outputs a model for this task has."""
        return len(self.label_names)
