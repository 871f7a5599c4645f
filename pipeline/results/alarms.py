"""Warnings about the results of a run: one line each, with what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from datamodules.tokens.truncation import Truncation
from pipeline.results.statistics import Cell, Metric, standard_error
from pipeline.results.summary import Model
from stark.problems.problem import Problem

__all__ = ["Answers", "run_alarms", "teacher_alarms", "truncation_alarms"]

# Smaller differences of scores are noise.
_FAR_ABOVE, _PERMUTED, _TOO_SMALL = 0.02, 0.1, 0.01
_ROWS_OF_A_CLASS = 5
# A larger fraction of rows that lose tokens may cost more points than a sparsity does.
_MOST_CUT = 0.05
# A logit whose label is as good as certain.
_CERTAIN = 100.0
_MOST_NAMES = 5


class Answers(NamedTuple):
    """The predictions of models for some rows.

    Args:
        labels: Labels of the rows.
        predictions: Predictions for the rows, as `Problem.for_metrics` gives them, by model folder.
    """

    labels: Tensor
    predictions: Mapping[str, Tensor]

    def pair(self, control: Model, treated: Model, metric: Metric) -> Cell:
        """The predictions of two models for these rows; see `Cell.by_units`."""
        first, second = (self.predictions[model.folder][None] for model in (control, treated))
        return Cell("", "", self.labels, first, second, metric).by_units()


def teacher_alarms(predictions: Tensor, labels: Tensor, problem: Problem, metric: Metric, *, given: bool) -> list[str]:
    """Check the dense teacher, before students are distilled from it.

    Args:
        predictions: Its predictions for rows of the selection part, as `Problem.for_metrics` gives them.
        labels: Their labels.
        problem: The kind of label.
        metric: The task's score.
        given: Whether the user provided it, already finetuned.

    Returns:
        Warnings about a teacher that is no better than a constant answer, and about labels in another order.
    """
    found = []
    score = metric(predictions, labels)
    if problem.has_classes:
        most = int(problem.memberships(labels).sum(0).argmax())
        certain = torch.full((len(labels), problem.num_labels), -_CERTAIN)
        certain[:, most] = _CERTAIN
        constant, said = metric(problem.for_metrics(certain), labels), f"always {problem.label_names[most]!r}"
    else:
        equal = torch.zeros(len(labels), problem.num_labels)
        constant, said = metric(problem.for_metrics(equal), labels), "one score for all rows"
    if given and problem.has_classes and (order := _better_order(predictions, labels, problem)):
        found.append(
            f"the given teacher's labels look permuted: {order}: name the labels in the order in which the teacher was "
            "trained on them"
        )
    elif not score > constant:  # also if it is NaN
        todo = "check its labels and its task" if given else "raise finetuning.epochs or finetuning.learning_rate"
        found.append(
            f"the teacher scores {100 * score:.1f} on the selection part, and answering {said} scores "
            f"{100 * constant:.1f}: it has learned nothing to distil; {todo}"
        )
    return found


def truncation_alarms(dev: Truncation, max_length: int) -> list[str]:
    """Check whether many rows lose a part of their text.

    Args:
        dev: What the rows of dev lost.
        max_length: Number of tokens at which they were cut.

    Returns:
        A warning if more than 5 % of the rows are cut.

    Examples:
        >>> truncation_alarms(Truncation(5, 100, 10, 1000), 128)
        []
    """
    if dev.cut <= _MOST_CUT * dev.rows:
        return []
    return [
        f"of dev, {dev.told(max_length)}: raise data.max_length, up to the encoder's positions, or classify long texts "
        "with predict-file --windows"
    ]


def _better_order(predictions: Tensor, labels: Tensor, problem: Problem) -> str:
    """The permutation of labels that makes far more of a teacher's predictions right; empty if there is none."""
    said_of, meant_by = (problem.memberships(values).double() for values in (predictions, labels))
    confusion = said_of.T @ meant_by  # rows by prediction and label
    said, meant = linear_sum_assignment(confusion.numpy(), maximize=True)
    gained = float(confusion[said, meant].sum() - confusion.diagonal().sum()) / len(labels)
    most = float(confusion.sum(0).max()) / len(labels)
    if gained < _PERMUTED or float(confusion[said, meant].sum()) / len(labels) <= most:
        return ""
    moved = [
        f"its {problem.label_names[first]!r} is mostly {problem.label_names[second]!r}"
        for first, second in zip(said.tolist(), meant.tolist(), strict=True)
        if first != second
    ]
    return ", ".join(moved[:_MOST_NAMES]) + (", ..." if len(moved) > _MOST_NAMES else "")


def run_alarms(
    models: Sequence[Model],
    students: Sequence[Model],
    best: Model,
    selection: Answers,
    dev: Answers,
    problem: Problem,
    metric: Metric,
    *,
    given: bool,
) -> list[str]:
    """Check the results of a run.

    Args:
        models: Its models: the dense teacher, the student before distillation, then all others.
        students: The students that could be chosen; for each seed, that of the dense teacher comes first.
        best: The chosen student.
        selection: Predictions for the selection part.
        dev: Predictions for dev.
        problem: The kind of label.
        metric: The task's score.
        given: Whether the user provided the teacher, already finetuned.

    Returns:
        The warnings.
    """
    teacher = models[0]
    found = teacher_alarms(selection.predictions[teacher.folder], selection.labels, problem, metric, given=given)
    found += _about_selection(teacher, students, best, selection, dev, problem, metric, given=given)
    found += _about_scores(models, students, best, dev, metric)
    return found + _about_classes(teacher, best, dev, problem)


def _about_selection(
    teacher: Model,
    students: Sequence[Model],
    best: Model,
    selection: Answers,
    dev: Answers,
    problem: Problem,
    metric: Metric,
    *,
    given: bool,
) -> list[str]:
    found = []
    others = [model for model in students if model.folder != best.folder]
    errors = {model.folder: standard_error(selection.pair(model, best, metric)) for model in others}
    unsure = [model for model in others if abs(best.selection_score - model.selection_score) <= errors[model.folder]]
    widest = max((errors[model.folder] for model in unsure), default=0.0)
    if widest >= _TOO_SMALL:
        found.append(
            f"the selection part is too small for this choice: {len(unsure)} of {len(others)} other students are "
            f"within one standard error (up to {100 * widest:.1f} points with {len(selection.labels):,} rows) of the "
            "chosen one; raise data.selection_fraction, or repeat the run with --seeds"
        )
    if given:
        own = [(part.labels, part.predictions[teacher.folder]) for part in (selection, dev)]
        # The rows are independent, so that the variances add up. Differences from perfect answers vary as scores do.
        cells = [Cell("", "", labels, problem.right_answers(labels)[None], said[None], metric) for labels, said in own]
        error = sum(standard_error(cell) ** 2 for cell in cells) ** 0.5
        on_selection, on_dev = (metric(said, labels) for labels, said in own)
        gap = on_selection - on_dev
        if gap > 2 * error and gap > _FAR_ABOVE:
            found.append(
                f"the given teacher scores {100 * gap:.1f} points more on the selection part than on dev: it may have "
                "been trained on these rows, so that scores there mean little; hold rows out that it has not seen"
            )
    return found


def _about_scores(
    models: Sequence[Model], students: Sequence[Model], best: Model, dev: Answers, metric: Metric
) -> list[str]:
    def gained(control: Model, treated: Model) -> float:
        """The gain of a model on dev if it exceeds two standard errors, else 0."""
        pair = dev.pair(control, treated, metric)
        value = float(pair.differences(torch.arange(len(pair.labels))).mean())
        return value if abs(value) > 2 * standard_error(pair) else 0.0

    found, teacher, undistilled = [], models[0], models[1]
    if (more := gained(teacher, best)) > _FAR_ABOVE:
        found.append(
            f"the chosen student scores {100 * more:.1f} points more on dev than the dense teacher: the teacher is "
            "trained too little; raise finetuning.epochs or finetuning.learning_rate"
        )
    if (more := gained(best, undistilled)) > 0:
        found.append(
            f"the student scores {100 * more:.1f} points more on dev before distillation than after it: change "
            "distillation.learning_rate, or raise distillation.epochs"
        )
    dense = next((model for model in students if model.seed == best.seed and not model.teacher_sparsity), best)
    if (more := gained(best, dense)) > 0:
        found.append(
            f"the chosen student scores {100 * more:.2f} points less on dev than the dense teacher's student "
            f"({dense.folder}), which is more than two standard errors: prefer that one"
        )
    return found


def _about_classes(teacher: Model, best: Model, dev: Answers, problem: Problem) -> list[str]:
    if not problem.has_classes:
        return []
    lost = []
    labels = problem.memberships(dev.labels)
    of_best, of_teacher = (problem.memberships(dev.predictions[model.folder]) for model in (best, teacher))
    for label, name in enumerate(problem.label_names):
        rows = labels[:, label]
        if (count := int(rows.sum())) < _ROWS_OF_A_CLASS:
            continue
        if not bool(of_best[rows, label].any()):
            kept = int(of_teacher[rows, label].sum())
            lost.append(f"{name!r} (of {count} rows the teacher finds {kept})")
    if not lost:
        return []
    named = ", ".join(lost[:_MOST_NAMES]) + (f" and {len(lost) - _MOST_NAMES} more" if len(lost) > _MOST_NAMES else "")
    classes = "1 class" if len(lost) == 1 else f"{len(lost)} classes"
    return [
        f"the chosen student finds no row of {classes} on dev: {named}: keep more of it "
        "(student.sparsity), or give these classes more rows"
    ]
