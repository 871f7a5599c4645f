"""Knowledgeableness: the mixture of expressiveness and friendliness."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from stark.budgets.sparsity import masks_at_sparsity
from stark.encoders.units import UnitMasks
from stark.errors import StarkError
from stark.scores.expressiveness import EXPRESSIVENESS
from stark.scores.friendliness import FRIENDLINESS
from stark.scores.unit_scores import UnitScores

__all__ = ["knowledgeableness", "teacher_masks"]


def teacher_masks(scores: UnitScores, lam: float, sparsity: float) -> UnitMasks:
    """Head and neuron masks of the sparse teacher, for any lam and sparsity from one scoring.

    Args:
        scores: Expressiveness and friendliness of the teacher's units.
        lam: Weight of expressiveness in [0, 1].
        sparsity: Fraction of the heads and of the neurons to remove, over all layers.

    Returns:
        The masks; True keeps.
    """
    expressive, friendly = scores.normalized(EXPRESSIVENESS), scores.normalized(FRIENDLINESS)
    heads, neurons = (
        masks_at_sparsity(knowledgeableness(e, f, lam), sparsity) for e, f in zip(expressive, friendly, strict=True)
    )
    return UnitMasks(heads, neurons)


def knowledgeableness(expressiveness: Sequence[Tensor], friendliness: Sequence[Tensor], lam: float) -> list[Tensor]:
    r"""Mix normalised scores: $K = \lambda E + (1 - \lambda) F$.

    Source: the paper's knowledgeable score. The mixture is not normalised again.

    Args:
        expressiveness: Normalised, one tensor ``(U,)`` per layer.
        friendliness: Normalised, same shapes.
        lam: Weight of expressiveness in [0, 1].

    Returns:
        The knowledgeable score, same shapes.

    Raises:
        StarkError: If lam lies outside [0, 1].

    Examples:
        >>> import torch
        >>> knowledgeableness([torch.tensor([1.0, 0.0])], [torch.tensor([0.0, 1.0])], lam=0.25)
        [tensor([0.2500, 0.7500])]
    """
    if not 0 <= lam <= 1:
        raise StarkError(f"lam is {lam}: choose a weight of expressiveness in [0, 1]")
    return [lam * e + (1 - lam) * f for e, f in zip(expressiveness, friendliness, strict=True)]
