"""Friendliness: how much the distillation loss depends on a unit of the teacher."""

from __future__ import annotations

import torch
from torch import Tensor

from stark.errors import StarkError
from stark.forward.classifying import Batch, Outputs, outputs_of
from stark.losses.kl_divergence import KLDivergence
from stark.losses.loss import Loss
from stark.losses.soft_targets import SoftTargets
from stark.problems.problem import Problem
from stark.scores.score import Compared, Distilled, GradientScore

__all__ = ["Friendliness", "KLFriendliness", "SignedFriendliness"]


class Friendliness(GradientScore):
    """Absolute gradients of the distillation loss of each example, with the student held constant.

    Source: the paper's section 3.2; GeneZC/StarK `run_sparsification.py`.
    """

    needs_student = True

    def losses(self, problem: Problem, outputs: Outputs, batch: Batch, distilled: Compared | None) -> Tensor:
        """The distillation loss of each example.

        Args:
            problem: The kind of label.
            outputs: Outputs of the teacher.
            batch: The batch.
            distilled: The trial student and its loss.

        Returns:
            Losses ``(batch,)``.
        """
        assert isinstance(distilled, Distilled)  # score_units checks it
        loss = self.compared_by(distilled.loss)
        with torch.no_grad():
            of_student = outputs_of(distilled.student, batch, loss.student_layers, loss.student_projections)
        compared: Tensor = loss(problem, of_student, outputs, batch, "none")
        return compared

    def compared_by(self, loss: Loss) -> Loss:
        """The loss that compares teacher and student: the loss of the trial.

        Args:
            loss: The loss of the trial.

        Returns:
            The same loss.
        """
        return loss


class SignedFriendliness(Friendliness):
    """Friendliness with its sign: how much the loss grows, to first order, if the unit is removed. A baseline."""

    reduction = "signed"


class KLFriendliness(Friendliness):
    """Friendliness with the Kullback-Leibler divergence instead of soft cross-entropy. A baseline.

    The two differ by the teacher's entropy, which has a gradient with respect to the teacher's masks.
    """

    def compared_by(self, loss: Loss) -> Loss:
        """The loss that compares teacher and student.

        Args:
            loss: The loss of the trial.

        Returns:
            The divergence, with the temperature and the weight of the trial's loss.

        Raises:
            StarkError: If the loss of the trial is no `SoftTargets`.
        """
        if not isinstance(loss, SoftTargets):
            raise StarkError("KLFriendliness needs stark.SoftTargets as distillation.loss, of which it is a variant")
        return KLDivergence(loss.temperature, loss.weight)

    def check(self, loss: Loss) -> None:
        """Refuse other losses than `SoftTargets`.

        Args:
            loss: The loss of the trial.

        Raises:
            StarkError: If it is another loss.
        """
        self.compared_by(loss)
