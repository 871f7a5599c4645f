"""Friendliness: what the loss of distillation loses with a unit of the teacher."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import PreTrainedModel

from stark.choices import ScoreReduction
from stark.forward.classifying import Batch, Outputs, outputs_of
from stark.losses.loss import Loss
from stark.problems.problem import Problem
from stark.problems.table import problem_of
from stark.scores.expressiveness import EXPRESSIVENESS, expressiveness_loss
from stark.scores.scoring import UnitLoss, score_units
from stark.scores.unit_scores import UnitScores

__all__ = ["FRIENDLINESS", "evaluating", "friendliness_loss", "score_teacher"]


FRIENDLINESS = "friendliness"


def score_teacher(
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    batches: Iterable[Batch],
    loss: Loss,
    reduction: ScoreReduction = "example",
) -> UnitScores:
    """Score the teacher's units by expressiveness and by friendliness, from one forward pass of each model.

    Source: the paper's section 3.2; GeneZC/StarK `run_sparsification.py`.

    Args:
        teacher: The dense teacher.
        student: The trial student.
        batches: Batches on the models' device, in a fixed order.
        loss: The loss that the trial student was distilled with.
        reduction: See `batch_importance`.

    Returns:
        Raw scores.
    """
    problem = problem_of(teacher.config)
    with evaluating(student):
        losses = {
            EXPRESSIVENESS: expressiveness_loss(problem),
            FRIENDLINESS: friendliness_loss(problem, student, loss),
        }
        return score_units(teacher, batches, losses, reduction, loss.teacher_layers)


def friendliness_loss(problem: Problem, student: PreTrainedModel, loss: Loss) -> UnitLoss:
    """Loss whose mask gradients are friendliness: the loss of distillation, with the student held constant.

    Args:
        problem: The kind of label.
        student: The trial student, in eval mode.
        loss: The loss that it was distilled with.

    Returns:
        A function of the teacher's outputs and a batch, which gives ``(batch,)``.
    """

    def of_batch(outputs: Outputs, batch: Batch) -> Tensor:
        with torch.no_grad():
            of_student = outputs_of(student, batch, loss.student_layers)
        compared: Tensor = loss(problem, of_student, outputs, batch, "none")
        return compared

    return of_batch


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Switch a model to eval mode while the context is open.

    Args:
        model: The model.
    """
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
