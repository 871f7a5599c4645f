"""The interface of losses that compare layers: which of the student's layers learns from which of the teacher's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from transformers import PreTrainedModel

from stark.encoders.layers import encoder_passes
from stark.errors import StarkError
from stark.losses.loss import Loss

__all__ = ["LayerLoss", "layer_numbers", "uniform_pairs", "width_projection"]


def uniform_pairs(student_depth: int, teacher_depth: int) -> list[tuple[int, int]]:
    """Pairs of layers with equal distances, of which the last one has both last layers.

    Source: TinyBERT (Jiao et al., 2020), section 3.1, for depths that do not divide each other rounded to the next
    layer.

    Args:
        student_depth: Number of the student's layers.
        teacher_depth: Number of the teacher's layers.

    Returns:
        Numbers of the student's and of the teacher's layer, counted from 1.

    Examples:
        >>> uniform_pairs(4, 12)
        [(1, 3), (2, 6), (3, 9), (4, 12)]
        >>> uniform_pairs(2, 2)
        [(1, 1), (2, 2)]
    """
    return [(number, max(1, _nearest(number, teacher_depth, student_depth))) for number in range(1, student_depth + 1)]


def _nearest(number: int, numerator: int, denominator: int) -> int:
    """``number * numerator / denominator``, rounded; a half is rounded up."""
    return (2 * number * numerator + denominator) // (2 * denominator)


def layer_numbers(layers: Sequence[int], depth: int, first: int = 1) -> list[int]:
    """Numbers of layers counted from the start, ascending.

    Args:
        layers: Numbers as in transformers: 0 is the embeddings, 1 the first layer, -1 the last one.
        depth: Number of the model's layers.
        first: The smallest number that is allowed.

    Returns:
        The numbers.

    Raises:
        StarkError: If there is no such layer, or none is given, or one is given twice.

    Examples:
        >>> layer_numbers([-1, 3], 12)
        [3, 12]
    """
    found = sorted(layer if layer >= 0 else depth + 1 + layer for layer in layers)
    if not found or len(set(found)) < len(found) or found[0] < first or found[-1] > depth:
        raise StarkError(
            f"layers are {list(layers)}, and the teacher has the layers {first} to {depth}: give some of them, "
            "each once"
        )
    return found


def width_projection(student: PreTrainedModel, teacher: PreTrainedModel) -> nn.Module:
    """What makes the student's hidden states as wide as the teacher's.

    Args:
        student: The student.
        teacher: The teacher.

    Returns:
        A linear map without bias that is to be learnt; the identity if the widths are equal.

    Examples:
        >>> from transformers import BertConfig, BertForSequenceClassification
        >>> sizes = {"vocab_size": 9, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4}
        >>> student, teacher = (
        ...     BertForSequenceClassification(BertConfig(hidden_size=width, **sizes)) for width in (4, 8)
        ... )
        >>> width_projection(student, teacher)
        Linear(in_features=4, out_features=8, bias=False)
    """
    widths = (student.config.hidden_size, teacher.config.hidden_size)
    return nn.Identity() if widths[0] == widths[1] else nn.Linear(*widths, bias=False)


class LayerLoss(Loss):
    """A loss that compares layers of the student with layers of the teacher.

    Each chosen layer of the teacher teaches one layer of the student: the same one if both have as many layers, else
    the one at the same relative depth, see `uniform_pairs`. It has only the teacher's part: add the labels and the
    logits with `WeightedSum`.

    Args:
        layers: Numbers of the teacher's layers, 1 for the first and -1 for the last; None for one per layer of the
            student.
    """

    #: The smallest number of a layer that can be chosen; 0 for losses that can compare the embeddings.
    first_layer = 1

    def __init__(self, layers: list[int] | None = None) -> None:
        """Keep the settings."""
        super().__init__()
        self.layers = None if layers is None else list(layers)
        #: Numbers of the student's and the teacher's layers that are compared, counted from the start.
        self.pairs: list[tuple[int, int]] = []

    def extra_repr(self) -> str:
        """The settings, by which a resumed fit recognises the loss."""
        return f"layers={self.layers}"

    def prepare_(self, student: PreTrainedModel, teacher: PreTrainedModel) -> None:
        """Choose the pairs of layers.

        Args:
            student: The student, in its final shape.
            teacher: The teacher.

        Raises:
            StarkError: If the teacher lacks a layer.
        """
        depths = len(encoder_passes(student)), len(encoder_passes(teacher))
        self.pairs = uniform_pairs(*depths)
        if self.layers is not None:
            numbers = layer_numbers(self.layers, depths[1], self.first_layer)
            self.pairs = [(max(min(number, 1), _nearest(number, *depths)), number) for number in numbers]

    def prepared_pairs(self) -> list[tuple[int, int]]:
        """The pairs of layers.

        Raises:
            StarkError: If `prepare_` was not called.
        """
        if not self.pairs:
            raise StarkError(
                f"{type(self).__name__} compares layers: call prepare_(student, teacher) before its first use"
            )
        return self.pairs

    def sides(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Numbers of the student's and of the teacher's layers in `pairs`, each once."""
        own, others = (tuple(dict.fromkeys(side)) for side in zip(*self.pairs, strict=True))
        return own, others


def sum_of(parts: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape, of which there is at least one."""
    total: Tensor = sum(parts[1:], start=parts[0])
    return total
