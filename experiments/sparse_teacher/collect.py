"""Collects the results of a finished `stark run`: rows of the table, predictions of the chosen students, kept units."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from experiments.sparse_teacher.plan import Cell, Search
from experiments.sparse_teacher.reading import UNUSED
from experiments.sparse_teacher.table import TEACHER, Row, Table
from pipeline.execution.outputs import read_output
from pipeline.results.comparison import BEST_OF_K, DENSE, SPARSE
from pipeline.results.summary import Model, Summary
from pipeline.run_folder import RunFolder
from stark.encoders.layers import kept_units
from stark.model_folders.model_folder import load_classifier
from stark.problems.table import problem_of
from stark.scores.knowledgeableness import Knowledgeableness
from stark.scores.unit_scores import UnitScores
from stark.storage import write_tensors

__all__ = ["is_collected", "keep_predictions", "keep_units", "rows_of"]

_PARTS = [part.name for part in Knowledgeableness().parts]

Measured = Callable[[Path], float]
"""Function of a model folder that returns the model's accuracy on the unused rows."""


def is_collected(cell: Cell, search: Search, table: Table) -> bool:
    """Whether the table has all results of a cell's search.

    Args:
        cell: The cell.
        search: One of its searches.
        table: The results.
    """
    own = {"task": cell.task, "student": cell.student}
    return all(
        table.has(**own, seed=seed, metric=f"chosen_by_{search.name}")
        and all(table.has(**own, seed=seed, method=name) for name in search.baselines)
        for seed in search.seeds
    )


def rows_of(cell: Cell, search: Search, folder: Path, measure: Measured | None = None) -> list[Row]:
    """The rows of a finished run.

    Args:
        cell: The cell.
        search: The cell's search that the run finished last.
        folder: The run's folder.
        measure: Function that returns a model's accuracy on the unused rows; None if there are no such rows.

    Returns:
        One row for each number.
    """
    summary = Summary.read(folder)
    best = {choice.seed: choice for choice in summary.best_by_method}
    rows = []
    for model in summary.models:
        method, seed = _method(model), model.seed
        if method is None:
            continue
        lam, sparsity, seconds = model.lam, model.teacher_sparsity, model.seconds
        if method == BEST_OF_K:
            # Only the best of the k students is a result. The first of them is the dense teacher's, which has its row.
            continue
        numbers = _numbers(model)
        if method == SPARSE and seed is not None and model.folder == best[seed].students.get(SPARSE):
            numbers[f"chosen_by_{search.name}"] = 1.0
        if measure is not None:
            numbers[UNUSED] = measure(folder / model.folder)
        made = (cell.task, cell.student, method, lam, sparsity, seed)
        rows += [Row(*made, name, value, seconds) for name, value in numbers.items()]
    rows += _best_of_k(cell, folder, summary, measure)
    return rows


def _method(model: Model) -> str | None:
    if model.seed is None:
        return TEACHER if model.teacher_sparsity is None and model.folder.startswith("finetune") else None
    if model.baseline is not None:
        return model.baseline
    return SPARSE if model.teacher_sparsity else DENSE


def _numbers(model: Model) -> dict[str, float]:
    return {**model.dev, "selection_score": model.selection_score}


def _best_of_k(cell: Cell, folder: Path, summary: Summary, measure: Measured | None) -> list[Row]:
    rows = []
    by_folder = {model.folder: model for model in summary.models}
    for choice in summary.best_by_method:
        if (best := choice.students.get(BEST_OF_K)) is None:
            continue
        seed = choice.seed
        tried = [model for model in summary.models if model.seed == seed and _method(model) in (DENSE, BEST_OF_K)]
        seconds = sum(model.seconds for model in tried)
        numbers = _numbers(by_folder[best])
        if measure is not None:
            numbers[UNUSED] = measure(folder / best)
        made = (cell.task, cell.student, BEST_OF_K, None, 0.0, seed)
        rows += [Row(*made, name, value, seconds) for name, value in numbers.items()]
    return rows


def keep_predictions(folder: Path, file: Path) -> None:
    """Save the dev predictions of the best student of each method and seed, and the labels.

    Args:
        folder: The run's folder.
        file: The file to write, with tensors ``METHOD/SEED`` of shape ``(rows,)``, and ``labels``.
    """
    run = RunFolder(folder)
    logits = read_output(folder, run.dev_logits.name)
    labels = logits["labels"]
    problem = problem_of(load_classifier(run.dense_teacher.path).config)
    kind = torch.uint8 if problem.has_classes else torch.float32
    kept = {"labels": labels.to(kind)}
    for choice in Summary.read(folder).best_by_method:
        for method, model in choice.students.items():
            # The best of k may be the dense teacher's student, and a file cannot contain the same tensor twice.
            kept[f"{method}/{choice.seed}"] = problem.predictions(logits[model]).to(kind, copy=True)
    write_tensors(file, kept)


def keep_units(folder: Path, file: Path) -> None:
    """Save the scores of the teacher's units for the first seed, and which units the student and its teachers keep.

    Args:
        folder: The run's folder.
        file: The file to write, with tensors ``heads/expressiveness`` of shape ``(layers, units)`` and so on, and
            boolean tensors ``kept_heads/MODEL``.
    """
    summary = Summary.read(folder)
    first = next(model.seed for model in summary.models if model.seed is not None)
    run = RunFolder(folder).of_seed(first)
    dense = load_classifier(run.dense_teacher.path)
    original = kept_units(dense)
    scores = UnitScores.load(run.teacher_scores.path, dense, _PARTS)
    kept: dict[str, Tensor] = {}
    for name in _PARTS:
        for kind, layers in zip(("heads", "neurons"), scores.normalized(name), strict=True):
            kept[f"{kind}/{name}"] = torch.stack(layers).float()
    models = {"student": run.initial_student.name}
    for model in summary.models:
        if model.seed == first and _method(model) == SPARSE and model.teacher_folder is not None:
            models[f"teacher {model.lam:g}, {model.teacher_sparsity:g}"] = model.teacher_folder
    for name, place in models.items():
        masks = kept_units(load_classifier(folder / place)).masks_within(original)
        for kind, layers in zip(("heads", "neurons"), masks, strict=True):
            kept[f"kept_{kind}/{name}"] = torch.stack(list(layers)).bool()
    write_tensors(file, kept)
