"""MiniLMv2: relations of queries, of keys and of values, with their own number of heads."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from transformers import PreTrainedModel

from stark.encoders.layers import encoder_passes
from stark.errors import StarkError
from stark.forward.classifying import Outputs
from stark.losses.layers import layer_numbers, sum_of
from stark.losses.loss import Loss
from stark.losses.relations import log_relations, relation_divergences
from stark.problems.problem import Problem, Reduction, reduce_loss

__all__ = ["MiniLMv2"]


class MiniLMv2(Loss):
    r"""Kullback-Leibler divergences of query, key and value relations of two layers, summed over the three.

    $$\sum_{a \in \{q, k, v\}} \frac{1}{R |x|} \sum_{r, i} \mathrm{KL}(A^T_{a r i} \,\|\, A^S_{a r i}), \quad
    A_{a r} = \mathrm{softmax}(a_r a_r^\top / \sqrt{d_r})$$

    The queries of all heads are laid side by side and divided into R relation heads anew, and so are keys and values.
    So the student may have fewer or narrower heads, as long as R divides the widths of both. i are the row's real
    tokens, and the loss is the mean over the rows. It has only the teacher's part: add the labels and the logits with
    `WeightedSum`.

    Source: Wang et al. (2021), MiniLMv2, section 3.1. Deviation: R is 64 where a head is 64 wide; the paper has 48 and
    64.

    Args:
        relation_heads: R, at least 1; None for the size of the teacher's heads, which divides the widths of every
            student that was pruned from it.
        layer: Number of the teacher's layer, 1 for the first and -1 for the last; the student's is its last one.

    Raises:
        StarkError: If a setting is out of range, or R does not divide a width.

    Examples:
        >>> import torch
        >>> from stark import problem_for
        >>> from stark.forward.classifying import Projections
        >>> alike = Outputs(torch.zeros(1, 2), projections={-1: Projections(*torch.randn(3, 1, 2, 8), head_size=4)})
        >>> mask = torch.tensor([[1, 1]])
        >>> MiniLMv2(relation_heads=2)(problem_for(["a", "b"]), alike, alike, {"attention_mask": mask})
        tensor(0.)
    """

    student_projections = (-1,)

    def __init__(self, relation_heads: int | None = None, layer: int = -1) -> None:
        """Check the settings."""
        super().__init__()
        if relation_heads is not None and relation_heads < 1:
            raise StarkError(f"relation_heads is {relation_heads}: give at least 1")
        self.relation_heads = relation_heads
        self.layer = layer
        self.teacher_projections = (layer,)

    def extra_repr(self) -> str:
        """The settings, by which a resumed fit recognises the loss."""
        return f"relation_heads={self.relation_heads}, layer={self.layer}"

    def prepare_(self, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
        """Check the layer and the widths.

        Args:
            student: The student, in its final shape.
            teacher: The teacher.

        Raises:
            StarkError: If the teacher lacks the layer, or R does not divide a width.
        """
        own, others = encoder_passes(student), encoder_passes(teacher)
        (number,) = layer_numbers([self.layer], len(others))
        other = others[number - 1]
        widths = [layer.num_heads * layer.head_size for layer in (own[-1], other)]
        self._check_widths(widths[0], widths[1], other.head_size)

    def _check_widths(self, own: int, other: int, head_size: int) -> int:
        heads = self.relation_heads or head_size
        if not own or not other or own % heads or other % heads:
            raise StarkError(
                f"the queries are {own} wide in the last layer of the student and {other} in layer {self.layer} of the "
                f"teacher: MiniLMv2 divides both into {heads} relation heads, so set relation_heads to a divisor of "
                "both, or choose stark.HiddenStates"
            )
        return heads

    def forward(
        self,
        problem: Problem,
        student: Outputs,
        teacher: Outputs,
        batch: Mapping[str, Tensor],
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Compare the relations; see `Loss.forward`.

        Args:
            problem: Not used.
            student: The student's outputs.
            teacher: The teacher's outputs.
            batch: The batch, with ``attention_mask``.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss.

        Raises:
            StarkError: If R does not divide a width.
        """
        mask = batch["attention_mask"]
        own, other = student.projections[-1], teacher.projections[self.layer]
        heads = self._check_widths(own.query.shape[-1], other.query.shape[-1], other.head_size)

        def relations(projected: Tensor) -> Tensor:
            parts = projected.unflatten(-1, (heads, projected.shape[-1] // heads)).transpose(1, 2)
            return log_relations(parts, parts, mask)

        divergences = [
            relation_divergences(student=relations(mine), teacher=relations(theirs), mask=mask)
            for mine, theirs in zip(own[:3], other[:3], strict=True)
        ]
        return reduce_loss(sum_of(divergences), reduction)
