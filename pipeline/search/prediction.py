"""Searching for the best sparse teacher with few or no trainings of students, by the selection part alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from pipeline.search.candidates import Candidate
from pipeline.settings import PredictionRule, SearchSettings
from stark.encoders.masking import unit_masks
from stark.encoders.units import UnitMasks
from stark.errors import StarkError
from stark.forward.classifying import Batch, classify
from stark.problems.problem import Problem
from stark.scores.unit_scores import UnitScores

__all__ = ["FOLDS", "HeldOut", "Prediction", "cross_fit", "folds", "predict", "predicted_value"]


FOLDS = 5
"""Into how many parts the selection part is cut where it both scores and ranks the teachers."""


@dataclass(frozen=True)
class HeldOut:
    """Rows, and scores of the teacher's units that know nothing of them.

    Args:
        scores: Scores of other rows.
        batches: The rows.
    """

    scores: UnitScores
    batches: list[Batch]


@dataclass(frozen=True)
class Prediction:
    """What is known of a candidate without training a student.

    Args:
        metric: The sparse teacher's own score on the selection part, where that did not shape it.
        agreement: Its agreement with the trial student there; see `Problem.agreement`.
        value: What it is ranked by.
    """

    metric: float
    agreement: float
    value: float


def predicted_value(metric: float, agreement: float, sparsity: float, rule: PredictionRule, weight: float) -> float:
    r"""By what a candidate is ranked; the higher, the better its student should become.

    ``metric``: the sparse teacher's own. ``agreement``: with the trial student. ``metric_and_sparsity``:
    $m + w s$, which prefers the smaller of equally good teachers.

    Source: the last is the tradeoff of MiniDisc (Zhang et al., 2022), by which it chooses a teacher assistant.

    Args:
        metric: Its score.
        agreement: See `Problem.agreement`.
        sparsity: Sparsity of the sparse teacher.
        rule: One of the three.
        weight: w.

    Returns:
        The value.

    Examples:
        >>> predicted_value(0.75, 0.5, 0.5, "metric_and_sparsity", weight=0.5)
        1.0
    """
    if rule == "metric":
        return metric
    return agreement if rule == "agreement" else metric + weight * sparsity


def folds(batches: Sequence[Batch], number: int = FOLDS) -> list[list[Batch]]:
    """Deal batches out to folds in turn, so that folds of batches in the order of their lengths have the same lengths.

    Args:
        batches: Batches of the data; where there are fewer than folds, each row becomes a separate batch.
        number: Number of folds; fewer if there are fewer rows.

    Returns:
        At least two folds, none of them empty.

    Raises:
        StarkError: If there is a single row.

    Examples:
        >>> batch = {"labels": torch.arange(4)}
        >>> [[rows["labels"].tolist() for rows in fold] for fold in folds([batch], 3)]
        [[[0], [3]], [[1]], [[2]]]
    """
    if len(batches) < number:
        batches = [row for batch in batches for row in _rows(batch)]
    if len(batches) < 2:
        raise StarkError("a part of one row cannot be cut into folds: choose a larger data.selection_fraction")
    return [list(batches[fold::number]) for fold in range(min(number, len(batches)))]


def _rows(batch: Batch) -> list[Batch]:
    return [{key: values[row : row + 1] for key, values in batch.items()} for row in range(len(batch["labels"]))]


def cross_fit(parts: Sequence[list[Batch]], score: Callable[[list[Batch]], UnitScores]) -> list[HeldOut]:
    """For each fold the scores of all other folds, so that no sparse teacher is judged by rows that shaped it.

    Every fold is scored once and their scores, sums over rows, are added, whatever their number: one pass in all.

    Args:
        parts: The folds.
        score: Scores the teacher's units on some batches.

    Returns:
        For each fold the scores and its batches.
    """
    scored = [score(part) for part in parts]
    return [
        HeldOut(functools.reduce(UnitScores.plus, [other for other in scored if other is not own]), part)
        for own, part in zip(scored, parts, strict=True)
    ]


def predict(
    candidates: Sequence[Candidate],
    search: SearchSettings,
    held_out: Sequence[HeldOut],
    dense: PreTrainedModel,
    trial: PreTrainedModel,
    problem: Problem,
    metrics: Sequence[str],
    choose: Callable[[Candidate, UnitScores], UnitMasks],
) -> dict[Candidate, Prediction]:
    """Rank sparse teachers by what they say of the selection part; a forward pass for each, and no training.

    Args:
        candidates: The sparse teachers.
        search: The rule and its weight.
        held_out: The selection part, in one or several pieces, each with the scores that cut the teachers for it.
        dense: The dense teacher, on the device of the rows.
        trial: The trial student, there as well.
        problem: The kind of label.
        metrics: Names of the task's metrics.
        choose: Gives the units of the dense teacher that a candidate keeps, from scores.

    Returns:
        A prediction for each, in their order.
    """
    metric = problem.score_function(metrics)
    labels = torch.cat([batch["labels"] for piece in held_out for batch in piece.batches]).cpu()
    of_student = torch.cat([_logits(trial, piece.batches) for piece in held_out])
    found = {}
    for candidate in candidates:
        said = []
        for piece in held_out:
            # Masked, not cut: the logits are the same, and copying a model takes longer than what a smaller one saves.
            masks = choose(candidate, piece.scores)
            with unit_masks(dense, masks.to(dense.device, dense.dtype)):
                said.append(_logits(dense, piece.batches))
        logits = torch.cat(said)
        own, agreed = metric(problem.predictions(logits), labels), problem.agreement(logits, of_student)
        value = predicted_value(own, agreed, candidate.sparsity, search.rule, search.sparsity_weight)
        found[candidate] = Prediction(own, agreed, value)
    return found


def _logits(model: PreTrainedModel, batches: Iterable[Batch]) -> Tensor:
    with torch.inference_mode():
        return torch.cat([classify(model, batch) for batch in batches]).cpu()
