"""What the sparse teacher's student is compared with: the best of each method by seed, and how sure a difference is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from pipeline.results.statistics import Cell, estimate_difference, mcnemar
from stark.problems.problem import Problem

__all__ = ["DENSE", "SPARSE", "best_by_method", "compare"]

DENSE, SPARSE = "dense_teacher", "sparse_teacher"
BEST_OF_K = "dense_teacher_best_of_k"

Model = Mapping[str, Any]


def best_by_method(models: Sequence[Model], baselines: Sequence[str]) -> list[dict[str, Any]]:
    """The best student of each method on the selection part, for each seed.

    The dense teacher has one student, that of the trial, which is also one of the k of the best of k. The sparse
    teacher's is the best of the candidates; of equals the first.

    Args:
        models: Entries of ``summary.json``.
        baselines: Their names.

    Returns:
        For each seed ``{"seed": 1, "dense_teacher": folder, "sparse_teacher": folder, ...}``; without candidates there
        is no sparse teacher.
    """
    found = []
    for seed in dict.fromkeys(model["seed"] for model in models if model["seed"] is not None):
        own = [model for model in models if model["seed"] == seed]
        dense, *sparse = [model for model in own if model["baseline"] is None]
        tried = {DENSE: [dense], SPARSE: sparse}
        for name in baselines:
            tried[name] = [model for model in own if model["baseline"] == name]
            if name == BEST_OF_K:
                tried[name].insert(0, dense)
        best = {name: max(students, key=_selection_score)["folder"] for name, students in tried.items() if students}
        found.append({"seed": seed, **best})
    return found


def _selection_score(model: Model) -> float:
    score: float = model["selection"]["score"]
    return score


def compare(
    best: Sequence[Mapping[str, Any]],
    logits: Mapping[str, Tensor],
    labels: Tensor,
    problem: Problem,
    metrics: Sequence[str],
) -> list[dict[str, Any]]:
    """The sparse teacher's student against each other method's, on the same rows and seeds.

    Args:
        best: Of `best_by_method`.
        logits: Of the rows, by model folder.
        labels: Of the rows.
        problem: The kind of label.
        metrics: Names of the task's metrics.

    Returns:
        For each control its name, the difference of scores in points (hundredths) as ``value``, ``low`` and ``high``
        (95 %), and for classes the p-value of McNemar's test by seed.
    """
    if not best or SPARSE not in best[0]:
        return []
    said = {
        method: torch.stack([problem.predictions(logits[choice[method]]) for choice in best])
        for method in best[0]
        if method != "seed"
    }
    found = []
    for control in (method for method in said if method != SPARSE):
        cell = Cell("", "", labels, said[control], said[SPARSE], problem.score_function(metrics))
        points = {name: 100 * value for name, value in asdict(estimate_difference([cell])).items()}
        entry: dict[str, Any] = {"control": control, "treated": SPARSE, "points": points}
        if problem.has_classes:
            pairs = zip(said[control], said[SPARSE], strict=True)
            entry["mcnemar"] = [mcnemar(first, second, labels) for first, second in pairs]
        found.append(entry)
    return found
