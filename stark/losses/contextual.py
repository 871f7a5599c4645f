"""Contextual knowledge distillation: relations between words, and between the layers of a word."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel

from stark.errors import StarkError
from stark.forward.classifying import Outputs
from stark.losses.layers import LayerLoss, sum_of
from stark.losses.tokens import token_means
from stark.problems.problem import Problem, Reduction, reduce_loss

__all__ = ["ContextualKD", "angles", "cosines"]

_TINY = 1e-6
# Points that are nearer to each other than this fraction of their length have no direction: it would be rounding.
_NEAR = 1e-3


def cosines(products: Tensor) -> Tensor:
    r"""Cosines of all pairs of vectors, $u_i \cdot u_j / (\|u_i\| \|u_j\|)$.

    Args:
        products: Dot products of all pairs, ``(..., n, n)``.

    Returns:
        A tensor of the same shape.

    Examples:
        >>> vectors = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        >>> cosines(vectors @ vectors.mT)
        tensor([[1.0000, 0.7071],
                [0.7071, 1.0000]])
    """
    squares = products.diagonal(dim1=-2, dim2=-1)
    return products / (squares[..., :, None] * squares[..., None, :] + _TINY**2).sqrt()


def angles(products: Tensor, vertex: int) -> Tensor:
    r"""Cosines of the angles at one of several points: $\cos \angle(u_i, u_v, u_k)$ for all pairs i, k.

    They are computed from dot products alone, as $(u_i - u_v) \cdot (u_k - u_v)$ is a sum of four of them.

    Args:
        products: Dot products of all pairs of the points, ``(..., n, n)``.
        vertex: v, the index of the point.

    Returns:
        A tensor of the same shape; 0 for a point that lies where the vertex is, such as the vertex itself.

    Examples:
        >>> corner = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
        >>> angles(corner @ corner.mT, vertex=1)[0].round()  # with itself, with the vertex, a right angle
        tensor([1., 0., 0.])
    """
    to_vertex = products[..., vertex]
    centred = products - to_vertex[..., :, None] - to_vertex[..., None, :] + products[..., vertex, vertex, None, None]
    squares = centred.diagonal(dim1=-2, dim2=-1)
    lengths = products.diagonal(dim1=-2, dim2=-1)
    far = squares > _NEAR**2 * torch.maximum(lengths, lengths[..., vertex, None])
    squares = torch.where(far, squares, 1.0)
    both = far[..., :, None] & far[..., None, :]
    return torch.where(both, centred / (squares[..., :, None] * squares[..., None, :]).sqrt(), 0.0)


class ContextualKD(LayerLoss):
    r"""Squared errors of the relations between words, and between the layers of a word.

    $$\sum_{(m, n)} W(h^S_m, h^T_n) + \lambda\, L(h^S, h^T)$$

    The word relations W of a layer are the cosines of all pairs of a row's words, and the angles of all triples of
    words whose ends are at most `window` words away from the middle one. The layer transforming relation L of a word
    are the cosines of all pairs, and the angles of all triples, of its hidden states in the compared layers. W and L
    are the mean squared errors of cosines and of angles, added, over the real tokens of a row; the loss is the mean
    over the rows. Relations have no width, so that none has to be learnt where the student is narrower.

    Source: Park et al. (2021), Distilling Linguistic Context for Language Model Compression, section 3. Of the paper's
    choices for pairs, this is the cosine.

    Args:
        layers: Numbers of the teacher's layers: 0 is the embeddings, 1 the first layer, -1 the last one. None for all
            that teach a layer of the student.
        window: Largest distance of the ends of a triple of words from its middle, at least 1.
        layer_weight: $\lambda$, the weight of the layer transforming relation, at least 0.

    Raises:
        StarkError: If a setting is out of range, or the teacher lacks a layer.

    Examples:
        >>> loss = ContextualKD()
        >>> loss.pairs = [(1, 1)]  # prepare_(student, teacher) does this
        >>> states = torch.randn(1, 3, 4)
        >>> student, teacher = (Outputs(torch.zeros(1, 2), {1: scale * states}) for scale in (1.0, 5.0))
        >>> from stark import problem_for
        >>> mask = torch.tensor([[1, 1, 1]])
        >>> bool(loss(problem_for(["a", "b"]), student, teacher, {"attention_mask": mask}) < 1e-6)
        True
    """

    first_layer = 0

    def __init__(self, layers: list[int] | None = None, window: int = 10, layer_weight: float = 1.0) -> None:
        """Check the settings."""
        super().__init__(layers)
        if window < 1:
            raise StarkError(f"window is {window}: give at least 1 word")
        if not 0 <= layer_weight < math.inf:
            raise StarkError(f"layer_weight is {layer_weight}: give a number of at least 0")
        self.window = window
        self.layer_weight = layer_weight

    def extra_repr(self) -> str:
        """The settings, by which a resumed fit recognises the loss."""
        return f"{super().extra_repr()}, window={self.window}, layer_weight={self.layer_weight}"

    def prepare_(self, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
        """Choose the layers.

        Args:
            student: The student, in its final shape.
            teacher: The teacher.

        Raises:
            StarkError: If the teacher lacks a layer.
        """
        super().prepare_(student, teacher)
        self.student_layers, self.teacher_layers = self.sides()

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
        """
        pairs, mask = self.prepared_pairs(), batch["attention_mask"]
        own = [_wide(student.hidden_states[m]) for m, _ in pairs]
        others = [_wide(teacher.hidden_states[n]) for _, n in pairs]
        # Differences of products, so half precision would not do.
        with torch.autocast(mask.device.type, enabled=False):
            words = [_word_errors(first, second, mask, self.window) for first, second in zip(own, others, strict=True)]
            layers = _layer_errors(torch.stack(own, dim=2), torch.stack(others, dim=2), mask)
        return reduce_loss(sum_of(words) + self.layer_weight * layers, reduction)


def _wide(states: Tensor) -> Tensor:
    return states.to(torch.promote_types(states.dtype, torch.float32))


def _word_errors(first: Tensor, second: Tensor, mask: Tensor, window: int) -> Tensor:
    """Errors of the relations of words, ``(batch,)``, from hidden states ``(batch, length, hidden_size)``."""
    pairs = (cosines(first @ first.mT) - cosines(second @ second.mT)).square()  # (batch, length, length)
    errors = token_means(token_means(pairs, mask[:, None]), mask)
    # The neighbours of each word, and which of them exist.
    length = first.shape[1]
    places = torch.arange(length, device=first.device)[:, None] + torch.arange(-window, window + 1, device=first.device)
    near = places.clamp(0, length - 1)
    exists = mask[:, near] * ((places >= 0) & (places < length))  # (batch, length, 2 * window + 1)
    found = []
    for states in (first, second):
        # Angles do not depend on where the origin is, and near the points less is lost by rounding.
        centred = states - (states * mask[:, :, None]).sum(1, keepdim=True) / mask.sum(1)[:, None, None]
        products = centred @ centred.mT
        found.append(angles(products[:, near[:, :, None], near[:, None, :]], window))
    weight = exists[:, :, :, None] * exists[:, :, None, :] * mask[:, :, None, None]
    triples = ((found[0] - found[1]).square() * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
    return errors + triples


def _layer_errors(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """Errors of the relations of a word's layers, ``(batch,)``, from ``(batch, length, layers, hidden_size)``."""
    pairs = (cosines(first @ first.mT) - cosines(second @ second.mT)).square().mean((-2, -1))
    centred = [states - states.mean(2, keepdim=True) for states in (first, second)]
    products = [states @ states.mT for states in centred]
    triples = [
        (angles(products[0], vertex) - angles(products[1], vertex)).square().mean((-2, -1))
        for vertex in range(first.shape[2])
    ]
    return token_means(pairs + sum_of(triples) / len(triples), mask)
