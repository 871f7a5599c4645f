"""How well a student finds each class."""

from __future__ import annotations

from torch import Tensor
from torchmetrics.functional.classification import multiclass_precision, multiclass_recall

from pipeline.results.summary import ClassScore
from stark.problems.problem import Problem

__all__ = ["class_scores"]


def class_scores(student: Tensor, teacher: Tensor, labels: Tensor, problem: Problem) -> list[ClassScore] | None:
    """Precision and recall of each class on some rows.

    Args:
        student: Predictions of the student, ``(rows,)``.
        teacher: Predictions of the dense teacher.
        labels: Labels of the rows.
        problem: The kind of label.

    Returns:
        An entry per class in the order of the labels; None where there are no classes.
    """
    if not problem.has_classes:
        return None
    number = problem.num_labels
    precision = multiclass_precision(student, labels, number, average="none")
    recall, before = (multiclass_recall(said, labels, number, average="none") for said in (student, teacher))
    return [
        ClassScore(
            label=name,
            rows=int((labels == place).sum()),
            precision=float(precision[place]),
            recall=float(recall[place]),
            teacher_recall=float(before[place]),
        )
        for place, name in enumerate(problem.label_names)
    ]
