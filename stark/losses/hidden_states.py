"""The squared error of hidden states, summed over layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from stark.encoders.layers import encoder_passes
from stark.errors import StarkError
from stark.forward.classifying import Outputs
from stark.losses.layers import LayerLoss, layer_numbers, sum_of, width_projection
from stark.losses.tokens import squared_distances
from stark.problems.problem import Problem, Reduction, reduce_loss

__all__ = ["HiddenStates", "nearest_in_order"]


def nearest_in_order(distances: Tensor) -> Tensor:
    """For each layer of the teacher the nearest layer of the student, so that their order is the same.

    The teacher's layers choose from the last to the first: each takes the nearest of the student's layers below the one
    that was chosen before, or that one again if there is none below it. No value is read by Python, so that a GPU is
    not waited for.

    Source: CoFi (Xia et al., 2022), section 3.2, and its code (``layer_distill_version`` 4).

    Args:
        distances: Shape ``(teacher's layers, student's layers)``.

    Returns:
        Indices of the student's layers, ``(teacher's layers,)``, which never decrease.

    Examples:
        >>> nearest_in_order(torch.tensor([[1.0, 0.0, 5.0], [5.0, 0.1, 0.2]])).tolist()
        [0, 1]
    """
    position = torch.arange(distances.shape[1], device=distances.device)
    above = torch.full((), distances.shape[1], device=distances.device)
    chosen = []
    for row in distances.detach().flip(0):
        nearest = row.masked_fill(position >= above, torch.inf).argmin()
        above = torch.where(above > 0, nearest, above)
        chosen.append(above)
    return torch.stack(chosen[::-1])


class HiddenStates(LayerLoss):
    r"""Mean squared error of the outputs of layers, summed over the layers.

    $$\sum_{(m, n)} \frac{1}{|x|\, d} \sum_{i, c} (W h^S_m - h^T_n)_{ic}^2$$

    i are the row's real tokens, d is the teacher's width, and the loss is the mean over the rows. W is a linear map
    that is learnt with the student, the same for all layers; without it, if both are equally wide, as pruned students
    are.

    Layers are matched ``uniform``, see `LayerLoss`, or ``dynamic``: each chosen layer of the teacher, by default four
    with equal distances, teaches the student's layer with the smallest error in the batch, see `nearest_in_order`.

    Source: TinyBERT (Jiao et al., 2020), section 3.1; CoFi (Xia et al., 2022), section 3.2, for the dynamic match.
    Deviation: TinyBERT's code takes the mean over padding, too.

    Args:
        layers: Numbers of the teacher's layers: 0 is the embeddings, 1 the first layer, -1 the last one. None for all
            that teach a layer of the student.
        match: ``uniform`` or ``dynamic``.

    Raises:
        StarkError: If the teacher lacks a layer.

    Examples:
        >>> loss = HiddenStates()
        >>> loss.pairs = [(1, 1)]  # prepare_(student, teacher) does this
        >>> student, teacher = (Outputs(torch.zeros(1, 2), {1: torch.full((1, 3, 4), value)}) for value in (0.0, 2.0))
        >>> from stark import problem_for
        >>> loss(problem_for(["a", "b"]), student, teacher, {"attention_mask": torch.tensor([[1, 1, 0]])})
        tensor(4.)
    """

    first_layer = 0

    def __init__(self, layers: list[int] | None = None, match: Literal["uniform", "dynamic"] = "uniform") -> None:
        """Keep the settings."""
        super().__init__(layers)
        if match not in ("uniform", "dynamic"):
            raise StarkError(f"match is '{match}': choose uniform or dynamic")
        self.match = match
        self.projection: nn.Module = nn.Identity()

    def extra_repr(self) -> str:
        """The settings, by which a resumed fit recognises the loss."""
        return f"{super().extra_repr()}, match={self.match}"

    def prepare_(self, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
        """Choose the layers, and create the linear map if the widths differ.

        Args:
            student: The student, in its final shape.
            teacher: The teacher.

        Raises:
            StarkError: If the teacher lacks a layer.
        """
        super().prepare_(student, teacher)
        if self.match == "dynamic":
            depths = len(encoder_passes(student)), len(encoder_passes(teacher))
            quarters = sorted({max(1, depths[1] * number // 4) for number in range(1, 5)})
            numbers = quarters if self.layers is None else layer_numbers(self.layers, depths[1])
            self.pairs = [(own, number) for number in numbers for own in range(1, depths[0] + 1)]
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
        """Compare the hidden states; see `Loss.forward`.

        Args:
            problem: Not used.
            student: The student's outputs.
            teacher: The teacher's outputs.
            batch: The batch, with ``attention_mask``.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss.
        """
        pairs, mask = self.prepared_pairs(), batch["attention_mask"]
        own = {number: self.projection(student.hidden_states[number]) for number in dict.fromkeys(m for m, _ in pairs)}
        errors = [squared_distances(own[m], teacher.hidden_states[n], mask) for m, n in pairs]
        if self.match == "uniform":
            return reduce_loss(sum_of(errors), reduction)
        every = torch.stack(errors).unflatten(0, (-1, len(own)))  # (teacher's layers, student's layers, batch)
        chosen = nearest_in_order(every.mean(-1))
        taken = every.take_along_dim(chosen[:, None, None], dim=1)
        return reduce_loss(taken.sum((0, 1)), reduction)
