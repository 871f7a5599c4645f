"""How well a student finds each class."""

from __future__ import annotations

from torch import Tensor

from pipeline.results.summary import ClassScore
from stark.problems.problem import Problem

__all__ = ["class_scores"]


def class_scores(student: Tensor, teacher: Tensor, labels: Tensor, problem: Problem) -> list[ClassScore] | None:
    """Precision and recall of each class on some rows.

    Args:
        student: Predictions of the student, as `Problem.for_metrics` gives them.
        teacher: Predictions of the dense teacher.
        labels: Labels of the rows.
        problem: The kind of label.

    Returns:
        An entry per class in the order of the labels; None where there are no classes.
    """
    if not problem.has_classes:
        return None
    has = problem.memberships(labels)
    said, told = problem.memberships(student), problem.memberships(teacher)
    rows, predicted, found, known = ((of.sum(0)).double() for of in (has, said, said & has, told & has))
    # Where there are no rows or no predictions, the fraction is 0.
    precision, recall, before = found / predicted.clamp(min=1), found / rows.clamp(min=1), known / rows.clamp(min=1)
    return [
        ClassScore(
            label=name,
            rows=int(rows[place]),
            precision=float(precision[place]),
            recall=float(recall[place]),
            teacher_recall=float(before[place]),
        )
        for place, name in enumerate(problem.label_names)
    ]
