"""Knowledgeableness: the mixture of expressiveness and friendliness."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from transformers import PreTrainedModel

from stark.encoders.units import UnitValues
from stark.errors import StarkError
from stark.scores.expressiveness import Expressiveness
from stark.scores.friendliness import Friendliness
from stark.scores.score import DataScore, Score, check_teacher_score
from stark.scores.unit_scores import UnitScores

__all__ = ["Knowledgeableness", "knowledgeableness", "score_or_lam"]


class Knowledgeableness(Score):
    """The teacher's score: expressiveness and friendliness, mixed by `knowledgeableness`.

    Args:
        lam: Weight of expressiveness in [0, 1].

    Raises:
        StarkError: If lam lies outside [0, 1].
    """

    needs_student = True

    def __init__(self, lam: float = 0.5) -> None:
        """Check lam."""
        if not 0 <= lam <= 1:
            raise StarkError(f"lam is {lam}: choose a weight of expressiveness in [0, 1]")
        self.lam = lam

    @property
    def parts(self) -> Sequence[DataScore]:
        """Expressiveness and friendliness."""
        return (Expressiveness(), Friendliness())

    def values(self, model: PreTrainedModel, scores: UnitScores) -> UnitValues:
        """The mixture of the two.

        Args:
            model: Not used.
            scores: Expressiveness and friendliness of the teacher's units.

        Returns:
            The values.
        """
        expressive, friendly = (scores.normalized(part.name) for part in self.parts)
        heads, neurons = (knowledgeableness(e, f, self.lam) for e, f in zip(expressive, friendly, strict=True))
        return UnitValues(heads, neurons)


def knowledgeableness(expressiveness: Sequence[Tensor], friendliness: Sequence[Tensor], lam: float) -> list[Tensor]:
    r"""Mix normalised scores: $K = \lambda E + (1 - \lambda) F$.

    Source: the paper's knowledgeable score. The mixture is not normalised again.

    Args:
        expressiveness: Normalised scores, one tensor ``(U,)`` per layer.
        friendliness: Normalised scores of the same shapes.
        lam: Weight of expressiveness in [0, 1].

    Returns:
        The knowledgeable score, same shapes.

    Examples:
        >>> import torch
        >>> knowledgeableness([torch.tensor([1.0, 0.0])], [torch.tensor([0.0, 1.0])], lam=0.25)
        [tensor([0.2500, 0.7500])]
    """
    return [lam * e + (1 - lam) * f for e, f in zip(expressiveness, friendliness, strict=True)]


def score_or_lam(score: Score | None, lam: float | None) -> Score:
    """The score of a callback, which is given either as a score or as the lam of `Knowledgeableness`.

    Args:
        score: A score, or None.
        lam: A lam, or None.

    Returns:
        The score.

    Raises:
        StarkError: If not exactly one of them is given, or lam lies outside [0, 1].
    """
    if score is not None and lam is None:
        return check_teacher_score(score, "score")
    if score is not None or lam is None:
        raise StarkError(f"lam is {lam} and score {score}: give one of them and set the other to null")
    return Knowledgeableness(lam)
