"""Other ways to rank the teacher's units than by the knowledgeable score: the baselines that it has to beat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from stark.budgets.sparsity import masks_at_sparsity
from stark.encoders.layers import encoder_layers
from stark.encoders.units import UnitMasks
from stark.forward.classifying import Batch, classify
from stark.losses.kl_divergence import kl_divergence
from stark.losses.soft_targets import distillation_loss
from stark.scores.expressiveness import EXPRESSIVENESS
from stark.scores.friendliness import FRIENDLINESS
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
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    batches: Iterable[Batch],
    *,
    temperature: float = 2.0,
    weight: float = 0.5,
) -> UnitScores:
    """Score the teacher's units for the rankings of `SCORED`, with the student's logits held constant.

    Args:
        teacher: The dense teacher.
        student: The trial student.
        batches: On the models' device; they are gone through twice.
        temperature: T of the distillation.
        weight: Weight of the teacher's part in the distillation.

    Returns:
        Raw scores; those of ``signed_friendliness`` may be negative.
    """

    def student_logits(batch: Batch) -> Tensor:
        with torch.no_grad():
            return classify(student, batch)

    def soft(logits: Tensor, batch: Batch) -> Tensor:
        return distillation_loss(
            student_logits=student_logits(batch),
            teacher_logits=logits,
            labels=batch["labels"],
            temperature=temperature,
            weight=weight,
            reduction="none",
        )

    def divergence(logits: Tensor, batch: Batch) -> Tensor:
        if logits.shape[-1] == 1:  # squared errors of regression have no entropy
            return soft(logits, batch)
        divergence = kl_divergence(
            student_logits=student_logits(batch), teacher_logits=logits, temperature=temperature, reduction="none"
        )
        return weight * temperature**2 * divergence

    batches, was_training = list(batches), student.training
    student.eval()
    try:
        signed = score_units(teacher, batches, {SIGNED: soft}, "signed")
        other = score_units(teacher, batches, {KL: divergence}, "example")
    finally:
        student.train(was_training)
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
        seed: Of ``random``.

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
