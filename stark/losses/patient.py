"""Patient knowledge distillation: the first token's hidden states, normalised."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from stark.errors import StarkError
from stark.forward.classifying import Outputs
from stark.losses.layers import LayerLoss, sum_of, width_projection
from stark.problems.problem import Problem, Reduction, reduce_loss

__all__ = ["PatientKD"]


class PatientKD(LayerLoss):
    r"""Squared distance of the first token's normalised hidden states, summed over the layers below the last one.

    $$\sum_{(m, n)} \left\| \frac{W h^S_m}{\|W h^S_m\|} - \frac{h^T_n}{\|h^T_n\|} \right\|^2$$

    By default, each layer of the student but the last learns from the teacher's layer at the same relative depth
    (PKD-skip). The last layers are left out because the logits compare them. W is a linear map that is learnt with the
    student; without it, if both are equally wide.

    Source: Sun et al. (2019), section 3.2, where both are equally wide. Deviation: the mean over the rows instead of
    their sum.

    Args:
        layers: Numbers of the teacher's layers, 1 for the first and -1 for the last.

    Raises:
        StarkError: If the teacher lacks a layer, or the student has a single layer and no layers are given.

    Examples:
        >>> loss = PatientKD()
        >>> loss.pairs = [(1, 1)]  # prepare_(student, teacher) does this
        >>> student, teacher = (
        ...     Outputs(torch.zeros(1, 2), {1: torch.tensor([[first]])}) for first in ([5.0, 0.0], [0.0, 3.0])
        ... )
        >>> from stark import problem_for
        >>> loss(problem_for(["a", "b"]), student, teacher, {})
        tensor(2.)
    """

    def __init__(self, layers: list[int] | None = None) -> None:
        """Keep the settings."""
        super().__init__(layers)
        self.projection: nn.Module = nn.Identity()

    def prepare_(self, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
        """Choose the layers, and create the linear map if the widths differ.

        Args:
            student: The student, in its final shape.
            teacher: The teacher.

        Raises:
            StarkError: If the teacher lacks a layer, or there is no layer below the student's last one.
        """
        super().prepare_(student, teacher)
        if self.layers is None:
            self.pairs = self.pairs[:-1]
        if not self.pairs:
            raise StarkError(
                "PatientKD compares the layers below the last one, and the student has a single layer: give layers, or "
                "choose another loss"
            )
        self.student_layers, self.teacher_layers = self.sides()
        self.projection = width_projection(student, teacher)

    def forward(
        self,
        problem: Problem,
        student: Outputs,
        teacher: Outputs,
        batch: Mapping[str, Tensor],
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Compare the first token's hidden states; see `Loss.forward`.

        Args:
            problem: Not used.
            student: The student's outputs.
            teacher: The teacher's outputs.
            batch: Not used.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss.
        """
        parts = [
            (_direction(self.projection(student.hidden_states[m][:, 0])) - _direction(teacher.hidden_states[n][:, 0]))
            for m, n in self.prepared_pairs()
        ]
        return reduce_loss(sum_of([part.square().sum(-1) for part in parts]), reduction)


def _direction(states: Tensor) -> Tensor:
    return F.normalize(states.to(torch.promote_types(states.dtype, torch.float32)), dim=-1)
