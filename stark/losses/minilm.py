"""MiniLM: the last layer's attention and the relations of its values."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from transformers import PreTrainedModel

from stark.encoders.layers import encoder_passes
from stark.forward.classifying import Outputs
from stark.losses.attention_maps import check_heads, check_scores
from stark.losses.loss import Loss
from stark.losses.relations import log_relations, relation_divergences
from stark.problems.problem import Problem, Reduction, reduce_loss

__all__ = ["MiniLM"]


class MiniLM(Loss):
    r"""Kullback-Leibler divergences of the last layers' attention and of their value relations.

    $$\frac{1}{H |x|} \sum_{h, i} \left(\mathrm{KL}(A^T_{h i} \,\|\, A^S_{h i}) + \mathrm{KL}(V^T_{h i} \,\|\, V^S_{h
    i}) \right), \quad A = \mathrm{softmax}(q k^\top / \sqrt{d}),\; V = \mathrm{softmax}(v v^\top / \sqrt{d})$$

    i are the row's real tokens, and the loss is the mean over the rows. The last layers need as many heads, of any
    width; a student whose heads were pruned is refused, and `MiniLMv2` is for it. It has only the teacher's part: add
    the labels and the logits with `WeightedSum`.

    Source: Wang et al. (2020), MiniLM, sections 3.1 and 3.2.

    Raises:
        StarkError: If the last layers have different numbers of heads.

    Examples:
        >>> import torch
        >>> from stark import problem_for
        >>> from stark.forward.classifying import Projections
        >>> alike = Outputs(torch.zeros(1, 2), projections={-1: Projections(*torch.randn(3, 1, 2, 8), head_size=4)})
        >>> MiniLM()(problem_for(["a", "b"]), alike, alike, {"attention_mask": torch.tensor([[1, 1]])})
        tensor(0.)
    """

    student_projections = teacher_projections = (-1,)

    def prepare_(self, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
        """Check the heads.

        Args:
            student: The student, in its final shape.
            teacher: The teacher.

        Raises:
            StarkError: If the last layers have different numbers of heads, or attention scores are not products of
                queries and keys alone.
        """
        check_scores(type(self).__name__, student, teacher)
        own, other = ((len(layers := encoder_passes(one)), layers[-1].num_heads) for one in (student, teacher))
        check_heads(type(self).__name__, own, other)

    def forward(
        self,
        problem: Problem,
        student: Outputs,
        teacher: Outputs,
        batch: Mapping[str, Tensor],
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Compare attention and value relations; see `Loss.forward`.

        Args:
            problem: Not used.
            student: The student's outputs.
            teacher: The teacher's outputs.
            batch: The batch, with ``attention_mask``.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss.

        Raises:
            StarkError: If the last layers have different numbers of heads.
        """
        mask = batch["attention_mask"]
        own, other = student.projections[-1], teacher.projections[-1]
        check_heads(type(self).__name__, (-1, own.num_heads), (-1, other.num_heads))
        divergences = [
            relation_divergences(
                student=log_relations(own.of_heads(own_first), own.of_heads(own_second), mask),
                teacher=log_relations(other.of_heads(other_first), other.of_heads(other_second), mask),
                mask=mask,
            )
            for own_first, own_second, other_first, other_second in (
                (own.query, own.key, other.query, other.key),
                (own.value, own.value, other.value, other.value),
            )
        ]
        return reduce_loss(divergences[0] + divergences[1], reduction)
