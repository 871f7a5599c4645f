"""The squared error of attention scores."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from transformers import PreTrainedModel

from stark.encoders.families.table import family_of
from stark.encoders.layers import encoder_passes
from stark.errors import StarkError
from stark.forward.classifying import Outputs
from stark.losses.layers import LayerLoss, sum_of
from stark.losses.relations import scaled_products
from stark.losses.tokens import token_means
from stark.problems.problem import Problem, Reduction, reduce_loss

__all__ = ["AttentionMaps", "check_heads", "check_scores"]


def check_heads(loss: str, student: tuple[int, int], teacher: tuple[int, int]) -> None:
    """Refuse layers with different numbers of heads.

    Args:
        loss: Name of the loss, for the message.
        student: Number of the student's layer, and of its heads.
        teacher: Number of the teacher's layer, and of its heads.

    Raises:
        StarkError: If the numbers of heads differ, or are 0.

    Examples:
        >>> check_heads("AttentionMaps", (1, 12), (2, 12))
    """
    if student[1] != teacher[1] or not student[1]:
        raise StarkError(
            f"distillation loss {loss} compares attention head by head, but layer {student[0]} of the student has "
            f"{student[1]} heads and layer {teacher[0]} of the teacher {teacher[1]}: choose stark.MiniLMv2 or "
            "stark.HiddenStates, which need no equal heads, or a student that keeps its heads"
        )


def check_scores(loss: str, *models: PreTrainedModel) -> None:
    """Refuse models whose attention scores are more than products of queries and keys.

    Args:
        loss: Name of the loss, for the message.
        models: The student and the teacher.

    Raises:
        StarkError: If the scores of one of them depend on positions as well.
    """
    for model in models:
        family = family_of(model)
        if not family.scores_from_projections:
            raise StarkError(
                f"distillation loss {loss} compares attention scores, which in {family.model_type} are not products of "
                "queries and keys alone: choose stark.MiniLMv2 or stark.HiddenStates"
            )


class AttentionMaps(LayerLoss):
    r"""Mean squared error of the attention scores before the softmax, summed over the layers.

    $$\sum_{(m, n)} \frac{1}{H |x|^2} \sum_{h, i, j} (A^S_{m h i j} - A^T_{n h i j})^2, \quad A = q k^\top / \sqrt{d}$$

    i and j are the row's real tokens, and the loss is the mean over the rows. Layers are matched as in `LayerLoss`.
    Both layers of a pair need as many heads, so that a student whose heads were pruned is refused.

    Source: TinyBERT (Jiao et al., 2020), section 3.1. Deviation: its code takes the mean over padding, too.

    Args:
        layers: Numbers of the teacher's layers, 1 for the first and -1 for the last; None for all that teach a layer of
            the student.

    Raises:
        StarkError: If the teacher lacks a layer, two layers have different numbers of heads, or attention scores are
            not products of queries and keys alone.

    Examples:
        >>> import torch
        >>> from stark import problem_for
        >>> from stark.forward.classifying import Projections
        >>> loss = AttentionMaps()
        >>> loss.pairs = [(1, 1)]  # prepare_(student, teacher) does this
        >>> one, four = (Projections(*torch.full((3, 1, 2, 4), value), head_size=4) for value in (1.0, 2.0))
        >>> student, teacher = (Outputs(torch.zeros(1, 2), projections={1: found}) for found in (one, four))
        >>> loss(problem_for(["a", "b"]), student, teacher, {"attention_mask": torch.tensor([[1, 1]])})  # (2 - 8)^2
        tensor(36.)
    """

    def prepare_(self, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
        """Choose the layers, and check their heads.

        Args:
            student: The student, in its final shape.
            teacher: The teacher.

        Raises:
            StarkError: If the teacher lacks a layer, two layers have different numbers of heads, or attention scores
                are not products of queries and keys alone.
        """
        check_scores(type(self).__name__, student, teacher)
        super().prepare_(student, teacher)
        own, others = encoder_passes(student), encoder_passes(teacher)
        for m, n in self.pairs:
            check_heads(type(self).__name__, (m, own[m - 1].num_heads), (n, others[n - 1].num_heads))
        self.student_projections, self.teacher_projections = self.sides()

    def forward(
        self,
        problem: Problem,
        student: Outputs,
        teacher: Outputs,
        batch: Mapping[str, Tensor],
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Compare the attention scores; see `Loss.forward`.

        Args:
            problem: Not used.
            student: The student's outputs.
            teacher: The teacher's outputs.
            batch: The batch, with ``attention_mask``.
            reduction: ``mean`` or ``none``.

        Returns:
            The loss.

        Raises:
            StarkError: If two layers have different numbers of heads.
        """
        mask = batch["attention_mask"]
        errors = []
        for m, n in self.prepared_pairs():
            own, other = student.projections[m], teacher.projections[n]
            check_heads(type(self).__name__, (m, own.num_heads), (n, other.num_heads))
            scores = [scaled_products(one.of_heads(one.query), one.of_heads(one.key)) for one in (own, other)]
            squared = (scores[0] - scores[1]).square().mean(1)  # (batch, length, length)
            errors.append(token_means(token_means(squared, mask[:, None]), mask))
        return reduce_loss(sum_of(errors), reduction)
