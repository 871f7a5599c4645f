"""Compares the sparse teacher's student with the best student of each other method, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pipeline.results.statistics import (
    Cell,
    Estimate,
    Metric,
    estimate_difference,
    estimate_difference_of_means,
    mcnemar,
)
from pipeline.results.summary import Choice, Comparison, Model
from stark.problems.problem import Problem

__all__ = ["DENSE", "EITHER", "SPARSE", "best_by_method", "compare", "counterparts", "points_over"]

DENSE, SPARSE = "dense_teacher", "sparse_teacher"
BEST_OF_K = "dense_teacher_best_of_k"
EITHER = "dense_or_sparse_teacher"
"""The better of the dense and the sparse teacher's student on the selection part, as a run chooses it."""


def best_by_method(models: Sequence[Model], baselines: Sequence[str]) -> list[Choice]:
    """The best student of each method on the selection part, for each seed.

    The dense teacher has one student, that of the trial. The sparse teacher's is the best of the candidates, and of
    equals the first. The best of k, of which the trial's student is one, is compared with a method that has as many
    choices: the better one of the sparse and the dense teacher's student.

    Args:
        models: The measured models of a run.
        baselines: Names of the run's baselines.

    Returns:
        A choice for each seed. Without candidates it has no sparse teacher.
    """
    found = []
    for seed in dict.fromkeys(model.seed for model in models if model.seed is not None):
        own = [model for model in models if model.seed == seed]
        dense, *sparse = [model for model in own if model.baseline is None]
        tried = {DENSE: [dense], SPARSE: sparse}
        for name in baselines:
            tried[name] = [model for model in own if model.baseline == name]
            if name == BEST_OF_K:
                tried[name].insert(0, dense)
                tried[EITHER] = [dense, *sparse] if sparse else []
        best = {
            name: max(students, key=lambda model: model.selection_score).folder
            for name, students in tried.items()
            if students
        }
        found.append(Choice(seed, best))
    return found


def counterparts(choices: Sequence[Choice], best: str) -> dict[int, str]:
    """The chosen student and its counterparts, the students of the same method with the other seeds.

    Args:
        choices: The choices that `best_by_method` returned.
        best: Folder of the chosen student.

    Returns:
        Their folders by seed.
    """

    def has(choice: Choice, method: str) -> bool:
        return choice.students.get(method) == best

    method = next(name for name in (DENSE, SPARSE) if any(has(choice, name) for choice in choices))
    return {choice.seed: choice.students[method] for choice in choices if method in choice.students}


def points_over(control: Tensor, treated: Tensor, labels: Tensor, metric: Metric, *, same_seeds: bool) -> Estimate:
    """One model's score minus another's in points (hundredths), on the same rows, with a 95 % interval.

    Args:
        control: Predictions of the model that is subtracted, ``(seeds, rows)``.
        treated: Predictions of the other one, ``(seeds, rows)``, whose number of seeds may differ.
        labels: Labels of the rows.
        metric: The score of predictions.
        same_seeds: Whether both have the same seeds in the same order. A model that all seeds share, such as the
            teacher, has every seed.

    Returns:
        The mean over seeds of the second minus that of the first. With several seeds that both have, the interval is
        that of `estimate_difference` over seeds and rows; otherwise it is over rows only.
    """
    seeds = max(len(control), len(treated))
    if same_seeds and seeds > 1:
        control, treated = (said.expand(seeds, *said.shape[1:]) for said in (control, treated))
        cell = Cell("", "", labels, control, treated, metric)
        found = estimate_difference([cell])
    else:
        found = estimate_difference_of_means(control, treated, labels, metric)
    return Estimate(100 * found.value, 100 * found.low, 100 * found.high)


def compare(
    best: Sequence[Choice],
    predictions: Mapping[str, Tensor],
    labels: Tensor,
    problem: Problem,
    metrics: Sequence[str],
) -> list[Comparison]:
    """Compare the sparse teacher's student with that of each other method, on the same rows and seeds.

    Against the best of k it is the better one of the sparse and the dense teacher's student, so that both have as many
    students to choose from.

    Args:
        best: The choices that `best_by_method` returned.
        predictions: Predictions for the rows, as `Problem.for_metrics` gives them, by model folder.
        labels: Labels of the rows.
        problem: The kind of label.
        metrics: Names of the task's metrics.

    Returns:
        A comparison for each control. Where a row has one class, it has the p-value of McNemar's test for
        each seed.
    """
    if not best or SPARSE not in best[0].students:
        return []
    said = {
        method: torch.stack([predictions[choice.students[method]] for choice in best]) for method in best[0].students
    }
    found = []
    for control in (method for method in said if method not in (SPARSE, EITHER)):
        treated = EITHER if control == BEST_OF_K else SPARSE
        cell = Cell("", "", labels, said[control], said[treated], problem.score_function(metrics))
        difference = estimate_difference([cell])
        points = Estimate(100 * difference.value, 100 * difference.low, 100 * difference.high)
        pairs = zip(said[control], said[treated], strict=True)
        is_tested = problem.has_classes and not problem.several
        tests = [mcnemar(first, second, labels) for first, second in pairs] if is_tested else None
        found.append(Comparison(control, treated, points, tests))
    return found
