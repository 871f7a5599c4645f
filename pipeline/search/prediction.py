"""Predicts which sparse teacher has the best student, without training; uses only the held-out selection split."""

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
"""Number of folds of the selection split where it both scores and ranks the teachers."""


@dataclass(frozen=True)
class HeldOut:
    """Rows, and scores of the teacher's units that were computed without these rows.

    Args:
        scores: Scores computed on other rows.
        batches: Batches of the rows.
    """

    scores: UnitScores
    batches: list[Batch]


@dataclass(frozen=True)
class Prediction:
    """A candidate's estimated quality, without training its student.

    Args:
        metric: The sparse teacher's own score on the selection split, on rows that its unit scores did not use.
        agreement: Agreement with the trial student on the same rows, see `Problem.agreement`.
        value: Value that the candidate is ranked by.
    """

    metric: float
    agreement: float
    value: float


def predicted_value(metric: float, agreement: float, sparsity: float, rule: PredictionRule, weight: float) -> float:
    r"""The value that a candidate is ranked by; a higher value predicts a better student.

    The rule ``metric`` takes the sparse teacher's own score m, ``agreement`` its agreement with the trial student, and
    ``metric_and_sparsity`` takes $m + w s$, which prefers the smaller of two equally good teachers.

    Source: the last rule is the tradeoff by which MiniDisc (Zhang et al., 2022) chooses a teacher assistant.

    Args:
        metric: Score m of the sparse teacher.
        agreement: Agreement with the trial student, see `Problem.agreement`.
        sparsity: Sparsity s of the sparse teacher.
        rule: Name of the rule.
        weight: Weight w of the sparsity.

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
    """Deal batches out to folds in turn.

    If the batches are sorted by the length of their rows, all folds get short and long rows alike.

    Args:
        batches: Batches of the data; if there are fewer batches than folds, each row becomes a separate batch.
        number: Number of folds; if there are fewer rows, there are as many folds as rows.

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
    """Score the units for each fold on all other folds, so that no sparse teacher is evaluated on rows that shaped it.

    Each fold is scored only once. Scores are sums over rows, so that those of the other folds are added; together this
    takes one pass over the rows.

    Args:
        parts: The folds.
        score: Function that scores the teacher's units on batches.

    Returns:
        For each fold, the scores of the other folds, and its batches.
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
    """Rank sparse teachers by their predictions on the selection split: one forward pass each, and no training.

    Args:
        candidates: The sparse teachers.
        search: Settings with the rule and its weight.
        held_out: The selection split in one or several pieces, each with the unit scores that the teachers are cut by
            for this piece.
        dense: The dense teacher, on the device of the rows.
        trial: The trial student, on the same device.
        problem: The kind of label.
        metrics: Names of the task's metrics.
        choose: Function that returns the units that a candidate keeps of the dense teacher, from unit scores.

    Returns:
        A prediction for each candidate, in their order.
    """
    problem = problem.of_model(dense.config)
    metric = problem.score_function(metrics)
    labels = torch.cat([batch["labels"] for piece in held_out for batch in piece.batches]).cpu()
    of_student = torch.cat([_logits(trial, piece.batches) for piece in held_out])
    found = {}
    for candidate in candidates:
        said = []
        for piece in held_out:
            # The units are masked, not cut out. The logits are the same, and copying the model would take longer than
            # the smaller model saves.
            masks = choose(candidate, piece.scores)
            with unit_masks(dense, masks.to(dense.device, dense.dtype)):
                said.append(_logits(dense, piece.batches))
        logits = torch.cat(said)
        own, agreed = metric(problem.for_metrics(logits), labels), problem.agreement(logits, of_student)
        value = predicted_value(own, agreed, candidate.sparsity, search.rule, search.sparsity_weight)
        found[candidate] = Prediction(own, agreed, value)
    return found


def _logits(model: PreTrainedModel, batches: Iterable[Batch]) -> Tensor:
    with torch.inference_mode():
        return torch.cat([classify(model, batch) for batch in batches]).cpu()
