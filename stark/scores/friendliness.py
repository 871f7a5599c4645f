"""Friendliness: what the loss of distillation loses with a unit of the teacher."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from transformers import PreTrainedModel

from stark.choices import ScoreReduction
from stark.forward.classifying import Batch, classify
from stark.losses.soft_targets import distillation_loss
from stark.scores.expressiveness import EXPRESSIVENESS, expressiveness_loss
from stark.scores.scoring import score_units
from stark.scores.unit_scores import UnitScores

__all__ = ["FRIENDLINESS", "score_teacher"]


FRIENDLINESS = "friendliness"


def score_teacher(
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    batches: Iterable[Batch],
    *,
    temperature: float = 2.0,
    weight: float = 0.5,
    reduction: ScoreReduction = "example",
) -> UnitScores:
    """Score the teacher's units by expressiveness and by friendliness, from one forward pass of each model.

    Friendliness is the importance for the loss of distillation with the student's logits held constant.

    Source: the paper's section 3.2; GeneZC/StarK `run_sparsification.py`.

    Args:
        teacher: The dense teacher.
        student: The trial student.
        batches: On the models' device, in a fixed order.
        temperature: T of the distillation.
        weight: Weight of the teacher's part in the distillation.
        reduction: See `batch_importance`.

    Returns:
        Raw scores.
    """

    def friendliness_loss(logits: Tensor, batch: Batch) -> Tensor:
        with torch.no_grad():
            student_logits = classify(student, batch)
        return distillation_loss(
            student_logits=student_logits,
            teacher_logits=logits,
            labels=batch["labels"],
            temperature=temperature,
            weight=weight,
            reduction="none",
        )

    was_training = student.training
    student.eval()
    try:
        losses = {EXPRESSIVENESS: expressiveness_loss, FRIENDLINESS: friendliness_loss}
        return score_units(teacher, batches, losses, reduction)
    finally:
        student.train(was_training)
