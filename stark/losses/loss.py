"""The interface of a distillation loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn
from transformers import PreTrainedModel

from stark.forward.classifying import Outputs
from stark.problems.problem import Problem, Reduction

__all__ = ["PROGRESS", "Loss"]

PROGRESS = "progress"
"""Name of the fraction of the fit's steps that are done among a batch's tensors: a scalar in [0, 1]."""


class Loss(nn.Module, ABC):
    """A distillation loss: compares the student's outputs with the teacher's and with the labels.

    A new loss is a subclass in a separate file. It is given by ``class_path`` and ``init_args``, or as a list with
    weights, and the same object trains the student and scores the teacher's units. Its parameters, if it has any, are
    trained with the student, clipped, saved in checkpoints and rewound with it; they are not part of the saved model.
    """

    #: Numbers of the student's layers whose hidden states it compares.
    student_layers: tuple[int, ...] = ()
    #: Numbers of the teacher's layers whose hidden states it compares.
    teacher_layers: tuple[int, ...] = ()
    #: Numbers of the student's layers whose queries, keys and values it compares; 1 is the first layer, -1 the last.
    student_projections: tuple[int, ...] = ()
    #: Numbers of the teacher's layers whose queries, keys and values it compares.
    teacher_projections: tuple[int, ...] = ()
    #: Whether the loss changes over the fit, so that batches have `PROGRESS`; they have it in a fit only.
    needs_progress: bool = False

    def prepare_(self, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
        """Check the models, choose layers and create the parameters that depend on them; does nothing by default.

        It may be called again with the same or other models.

        Args:
            student: The student, in its final shape.
            teacher: The teacher.
        """
        return

    @abstractmethod
    def forward(
        self,
        problem: Problem,
        student: Outputs,
        teacher: Outputs,
        batch: Mapping[str, Tensor],
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Compare the student's outputs with the teacher's and with the labels.

        Args:
            problem: The kind of label.
            student: The student's outputs.
            teacher: The teacher's outputs.
            batch: The batch, with ``labels`` (some of which may be missing, see `Problem`) and ``attention_mask``.
            reduction: ``mean`` over the batch, or ``none`` for one value per example, ``(batch,)``.

        Returns:
            The loss.
        """
