"""Other ways to rank the teacher's units than by the knowledgeable score: the baselines that it has to beat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from transformers import PreTrainedModel

from stark.budgets.sparsity import masks_at_sparsity
from stark.encoders.layers import encoder_layers
from stark.encoders.units import UnitMasks
from stark.forward.classifying import Batch
from stark.losses.kl_divergence import KLDivergence
from stark.losses.soft_targets import SoftTargets
from stark.problems.table import problem_of
from stark.scores.expressiveness import EXPRESSIVENESS
from stark.scores.friendliness import FRIENDLINESS, evaluating, friendliness_loss
from stark.scores.importance import normalize_per_layer
from stark.scores.knowledgeableness import knowledgeableness
from stark.scores.magnitude import UnitValues, magnitudes
from stark.scores.scoring import score_units
from stark.scores.unit_scores import UnitScores

__all__ = ["SCORED", "Ranking", "ranked_masks", "score_baselines"]


Ranking = Literal["expressiveness", "friendliness", "signed_friendliness", "kl_friendliness", "magnitude", "random"]
"""``expressiveness`` and ``friendliness``: one of the two parts of the knowledgeable score alone, lam 1 and lam 0.
``signed_friendliness``: how much the loss of distillation grows, to first order, when the unit goes; the sign is kept.
``kl_friendliness``: with the Kullback-Leibler divergence in the place of soft cross-entropy, which differs by the
teacher's entropy. ``magnitude``: the L2 norm of a unit's weights. ``random``: drawn."""

SIGNED: Ranking = "signed_friendliness"
KL: Ranking = "kl_friendliness"
SCORED: tuple[Ranking, ...] = (SIGNED, KL)
"""Rankings that need `score_baselines`; the others come from the teacher's scores or need none."""


def score_baselines(
    teacher: PreTrainedModel, student: PreTrainedModel, batches: Iterable[Batch], loss: SoftTargets
) -> UnitScores:
    """Score the teacher's units for the rankings of `SCORED`, with the student's logits held constant.

    Args:
        teacher: The dense teacher.
        student: The trial student.
        batches: Batches on the models' device; they are read twice.
        loss: The loss that the trial student was distilled with.

    Returns:
        Raw scores; those of ``signed_friendliness`` may be negative.
    """
    problem, batches = problem_of(teacher.config), list(batches)
    divergence = KLDivergence(loss.temperature, loss.weight)
    with evaluating(student):
        signed = score_units(teacher, batches, {SIGNED: friendliness_loss(problem, student, loss)}, "signed")
        other = score_units(teacher, batches, {KL: friendliness_loss(problem, student, divergence)}, "example")
    return UnitScores({**signed.heads, **other.heads}, {**signed.neurons, **other.neurons}, signed.model)


def ranked_masks(
    ranking: float | Ranking, sparsity: float, scores: UnitScores, model: PreTrainedModel, seed: int = 0
) -> UnitMasks:
    """Masks that drop the lowest units of a ranking.

    All rankings go the same way: values per unit, each layer divided by its L2 norm, ranked over all layers.

    Args:
        ranking: A lam, for the knowledgeable score, or the name of a baseline.
        sparsity: Fraction of the heads and of the neurons to remove, over all layers.
        scores: Of this model: of `score_teacher`, or of `score_baselines` for
            those in `SCORED`; not looked at for ``magnitude`` and ``random``.
        model: The dense teacher.
        seed: Seed of ``random``.

    Returns:
        The masks; True keeps.
    """
    heads, neurons = (masks_at_sparsity(values, sparsity) for values in _values(ranking, scores, model, seed))
    return UnitMasks(heads, neurons)


def _values(ranking: float | Ranking, scores: UnitScores, model: PreTrainedModel, seed: int) -> UnitValues:
    if ranking == "magnitude":
        heads, neurons = magnitudes(model)
        return normalize_per_layer(heads), normalize_per_layer(neurons)
    if ranking == "random":
        generator = torch.Generator().manual_seed(seed)
        sizes = [(layer.num_heads, layer.num_neurons) for layer in encoder_layers(model)]
        heads, neurons = ([torch.rand(n, generator=generator) for n in kind] for kind in zip(*sizes, strict=True))
        return heads, neurons
    if ranking in SCORED:
        return scores.normalized(str(ranking))
    lam = {"expressiveness": 1.0, "friendliness": 0.0}.get(str(ranking), ranking)
    expressive, friendly = scores.normalized(EXPRESSIVENESS), scores.normalized(FRIENDLINESS)
    heads, neurons = (knowledgeableness(e, f, float(lam)) for e, f in zip(expressive, friendly, strict=True))
    return heads, neurons
