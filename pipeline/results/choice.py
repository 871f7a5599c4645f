"""Chooses a student of a run, by the selection part alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from pipeline.results.statistics import Cell, Metric, standard_error
from pipeline.results.summary import Model

__all__ = ["choose", "eligible"]


def eligible(models: Sequence[Model], *, fixed: bool = False) -> list[Model]:
    """The students that may be chosen: those that were distilled and belong to no baseline.

    Args:
        models: The models of a run.
        fixed: Whether the run has no search, so that only students of sparse teachers are taken, if there are any.

    Returns:
        The students; for each seed, that of the dense teacher comes first.
    """
    students = [model for model in models if model.seed is not None and model.baseline is None]
    sparse = [model for model in students if model.teacher_sparsity]
    return sparse if fixed and sparse else students


def choose(students: Sequence[Model], predictions: Mapping[str, Tensor], labels: Tensor, metric: Metric) -> Model:
    """Choose the simplest student within one standard error of the best one.

    The error is that of the difference between the two on the same rows, so that it is small where they mostly agree. A
    student of the dense teacher is simpler than one of a sparse teacher, and a smaller student simpler than a larger
    one. Of equally simple ones the best is taken, and of equally good ones the first. A single row decides nothing: the
    error is taken as at least one divided by the number of rows, or of groups of rows where the metric compares these.

    Source: the one-standard-error rule of Breiman et al., 1984, "Classification and Regression Trees", for paired rows.

    Args:
        students: The students to choose from.
        predictions: Predictions for the rows of the selection part, ``(rows,)``, by model folder.
        labels: Labels of these rows.
        metric: The task's score.

    Returns:
        One of the students.
    """
    best = max(students, key=lambda model: model.selection_score)

    def is_as_good(model: Model) -> bool:
        lost = best.selection_score - model.selection_score
        if lost == 0:
            return True
        pair = Cell("", "", labels, predictions[model.folder][None], predictions[best.folder][None], metric).by_units()
        return lost <= max(standard_error(pair), 1 / len(pair.labels)) + 1e-9

    return min(
        (model for model in students if is_as_good(model)),
        key=lambda model: (bool(model.teacher_sparsity), model.parameters, -model.selection_score),
    )
