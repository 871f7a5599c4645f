"""What a task is: its splits, columns, labels and metrics."""

from dataclasses import dataclass

__all__ = ["SPLITS", "Task"]


SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be told about a text or a pair of texts.

    Attributes:
        name: what we call it, as in the paper.
        splits: those that exist, of train, dev and test.
        texts: names of its one or two columns of text.
        label_names: in the order of the label ids; a single name means regression.
        metrics: under GLUE's names; the task's score is their mean.
        submission_file: name of the file of predictions for test.
        submission_words: whether that holds label names instead of label ids.
    """

    name: str
    splits: tuple[str, ...]
    texts: tuple[str, ...]
    label_names: tuple[str, ...]
    metrics: tuple[str, ...]
    submission_file: str
    submission_words: bool

    @property
    def is_regression(self) -> bool:
        """Whether the label is a score."""
        return len(self.label_names) == 1

    @property
    def is_pair(self) -> bool:
        """Whether a row has two texts."""
        return len(self.texts) == 2

    @property
    def num_labels(self) -> int:
        """How many outputs a model for this task has."""
        return len(self.label_names)
