"""Searching for the best sparse teacher with few or no trainings of students, by the selection part alone."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from callbacks.pruning import EXPRESSIVENESS
from callbacks.scoring import UnitScores
from callbacks.sparsification import FRIENDLINESS, teacher_masks
from datamodules import GLUEDataModule
from lightning_modules import shrink_
from lightning_modules.classifying import classify, predictions
from lightning_modules.metrics import score_function
from pipeline.candidates import Candidate
from pipeline.settings import PredictionRule, SearchSettings

__all__ = ["Prediction", "agreement", "best_of", "halving_epochs", "predict", "predicted_value", "survivors"]

_Key = TypeVar("_Key")


@dataclass(frozen=True)
class Prediction:
    """What is known of a candidate without training a student.

    Args:
        metric: The sparse teacher's own score on the selection part.
        agreement: How often it says what the trial student says there; see :func:`agreement`.
        value: What it is ranked by.
    """

    metric: float
    agreement: float
    value: float


def agreement(first: Tensor, second: Tensor) -> float:
    r"""How far two models say the same.

    Args:
        first: Logits ``(rows, num_labels)``.
        second: Logits of the same rows.

    Returns:
        The fraction of rows to which both give the same class, in [0, 1]; for regression, of one label, the correlation
        of Pearson, and 0 where one of them says the same of all rows.

    Example:
        >>> agreement(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        0.5
    """
    if first.shape[-1] > 1:
        return float((first.argmax(-1) == second.argmax(-1)).double().mean())
    correlation = torch.corrcoef(torch.stack([first.flatten(), second.flatten()]).double())[0, 1]
    return float(torch.nan_to_num(correlation))


def predicted_value(metric: float, agreement: float, sparsity: float, rule: PredictionRule, weight: float) -> float:
    r"""By what a candidate is ranked; the higher, the better its student should become.

    ``metric``: the sparse teacher's own. ``agreement``: with the trial student. ``metric_and_sparsity``:
    :math:`m + w s`, which prefers the smaller of equally good teachers.

    Source: the last is the tradeoff of MiniDisc (Zhang et al., 2022), by which it chooses a teacher assistant.

    Args:
        metric: In the unit of its score.
        agreement: See :func:`agreement`.
        sparsity: Of the sparse teacher.
        rule: One of the three.
        weight: w.

    Returns:
        The value.

    Example:
        >>> predicted_value(0.75, 0.5, 0.5, "metric_and_sparsity", weight=0.5)
        1.0
    """
    if rule == "metric":
        return metric
    return agreement if rule == "agreement" else metric + weight * sparsity


def best_of(values: Mapping[_Key, float], number: int = 1) -> list[_Key]:
    """The keys of the highest values; of equal ones those that come first.

    Args:
        values: By key.
        number: How many.

    Returns:
        The keys in their order in ``values``.

    Example:
        >>> best_of({"a": 0.5, "b": 0.7, "c": 0.5}, 2)
        ['a', 'b']
    """
    chosen = set(sorted(values, key=lambda key: -values[key])[:number])
    return [key for key in values if key in chosen]


def halving_epochs(candidates: int, epochs: int, eta: int) -> list[int]:
    r"""After which epochs successive halving looks at the scores.

    :math:`r = \lceil \log_\eta k \rceil` rounds leave one of k candidates; round i is over after
    :math:`e / \eta^{r - i}` epochs, rounded, at least 1. Rounds that would end at the same epoch are one.

    Source: Jamieson and Talwalkar, 2016, with epochs as the resource.

    Args:
        candidates: k.
        epochs: e, of a whole distillation.
        eta: One of so many stays in each round.

    Returns:
        Ascending numbers of epochs, all below e.

    Example:
        >>> halving_epochs(candidates=5, epochs=10, eta=2)
        [1, 2, 5]
        >>> halving_epochs(candidates=5, epochs=2, eta=2)
        [1]
    """
    rounds, left = 0, candidates
    while left > 1:
        rounds, left = rounds + 1, survivors(left, eta)
    ends = {max(1, round(epochs / eta**later)) for later in range(1, rounds + 1)}
    return sorted(end for end in ends if end < epochs)


def survivors(candidates: int, eta: int) -> int:
    """How many candidates a round of halving leaves: one of ``eta``, rounded up.

    >>> survivors(5, 2)
    3
    """
    return math.ceil(candidates / eta)


def predict(
    candidates: Sequence[Candidate],
    search: SearchSettings,
    data: GLUEDataModule,
    models: tuple[PreTrainedModel, PreTrainedModel],
    scores: Path,
) -> dict[Candidate, Prediction]:
    """Rank sparse teachers by what they say of the selection part; a forward pass for each, and no training.

    Args:
        candidates: The sparse teachers.
        search: The rule and its weight.
        data: Set up for a fit.
        models: The dense teacher and the trial student, on the same device.
        scores: File of the dense teacher's scores.

    Returns:
        A prediction for each, in their order.
    """
    dense, trial = models
    unit_scores = UnitScores.load(scores, dense, (EXPRESSIVENESS, FRIENDLINESS))
    of_student = _logits(trial, data)
    found = {}
    for candidate in candidates:
        teacher = shrink_(copy.deepcopy(dense), *teacher_masks(unit_scores, candidate.lam, candidate.sparsity))
        logits = _logits(teacher, data)
        metric, agreed = _score(logits, data), agreement(logits, of_student)
        value = predicted_value(metric, agreed, candidate.sparsity, search.rule, search.sparsity_weight)
        found[candidate] = Prediction(metric, agreed, value)
    return found


def _logits(model: PreTrainedModel, data: GLUEDataModule) -> Tensor:
    """Of all rows of the selection part, in the loader's order."""
    device = next(model.parameters()).device
    with torch.inference_mode():
        batches = [{name: tensor.to(device) for name, tensor in batch.items()} for batch in data.val_dataloader()]
        return torch.cat([classify(model, batch) for batch in batches]).cpu()


def _score(logits: Tensor, data: GLUEDataModule) -> float:
    labels = torch.cat([batch["labels"] for batch in data.val_dataloader()])
    return score_function(data.metrics, len(data.label_names))(predictions(logits), labels)
