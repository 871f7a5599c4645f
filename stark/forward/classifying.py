"""From a batch to logits: the same forward pass for training, scoring, evaluation and teachers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from stark.encoders.families.table import family_of
from stark.encoders.layers import encoder_passes
from stark.errors import StarkError
from stark.forward.lean_attention import attention_mask_of, lean_attention

__all__ = ["MODEL_INPUTS", "Batch", "Outputs", "Projections", "classify", "needed_inputs", "outputs_of"]


Batch = dict[str, Tensor]

MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""Names of a batch's tensors that encoders read."""


class Projections(NamedTuple):
    """Queries, keys and values of a layer, each of shape ``(batch, length, num_heads * head_size)``.

    Args:
        query: The queries of all heads, side by side.
        key: The keys, likewise.
        value: The values, likewise.
        head_size: Width of a head.

    Examples:
        >>> Projections(*torch.zeros(3, 1, 5, 12), head_size=4).of_heads(torch.zeros(1, 5, 12)).shape
        torch.Size([1, 3, 5, 4])
    """

    query: Tensor
    key: Tensor
    value: Tensor
    head_size: int

    @property
    def num_heads(self) -> int:
        """Number of heads of the layer."""
        return self.query.shape[-1] // self.head_size

    def of_heads(self, projected: Tensor) -> Tensor:
        """Separate the heads.

        Args:
            projected: One of the three, ``(batch, length, num_heads * head_size)``.

        Returns:
            Shape ``(batch, num_heads, length, head_size)``.
        """
        parts: Tensor = projected.unflatten(-1, (self.num_heads, self.head_size))
        return parts.transpose(1, 2)


_NONE: Mapping[int, Tensor] = MappingProxyType({})
_NO_PROJECTIONS: Mapping[int, Projections] = MappingProxyType({})


class Outputs(NamedTuple):
    """A model's outputs for a batch, as far as a loss needs them.

    Args:
        logits: Logits, ``(batch, num_labels)``.
        hidden_states: Hidden states by the number of the layer as in transformers (0 is the embeddings, -1 the last
            layer), each of shape ``(batch, length, hidden_size)``; only of the layers that the loss needs.
        projections: Queries, keys and values by the number of the layer (1 is the first layer, -1 the last one); only
            of the layers that the loss needs.
    """

    logits: Tensor
    hidden_states: Mapping[int, Tensor] = _NONE
    projections: Mapping[int, Projections] = _NO_PROJECTIONS


def classify(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Logits ``(batch, num_labels)`` of a model, in float32 or a wider type.

    Args:
        model: A sequence classifier.
        batch: The model's inputs; other keys are ignored.

    Returns:
        The logits.
    """
    with lean_attention(model):
        return _float(model(**_inputs(model, batch)).logits)


def outputs_of(
    model: PreTrainedModel, batch: Batch, layers: Sequence[int] = (), projections: Sequence[int] = ()
) -> Outputs:
    """Logits, as from `classify`, and the hidden states, queries, keys and values of some layers.

    Args:
        model: A sequence classifier.
        batch: The model's inputs; other keys are ignored.
        layers: Numbers of the layers whose hidden states are returned, as in transformers: 0 is the embeddings, -1 the
            last layer. If nothing is asked for, the model computes only what its logits need.
        projections: Numbers of the layers whose queries, keys and values are returned; 1 is the first layer.

    Returns:
        The outputs.

    Raises:
        StarkError: If projections are asked for and the model is compiled.
    """
    if not layers and not projections:
        return Outputs(classify(model, batch))
    with _projected(model, projections) as found:
        outputs = model(**_inputs(model, batch), output_hidden_states=bool(layers))
    return Outputs(_float(outputs.logits), {layer: outputs.hidden_states[layer] for layer in layers}, found)


@contextmanager
def _projected(model: PreTrainedModel, layers: Sequence[int]) -> Iterator[dict[int, Projections]]:
    """The projections of some layers; they are there when the model was called inside the context."""
    found: dict[int, Projections] = {}
    if not layers:
        yield found
        return
    if model._compiled_call_impl is not None:
        raise StarkError(
            "the loss compares queries, keys or values, which a compiled model does not give: leave out "
            "callbacks.Compilation, or choose another loss"
        )
    views = encoder_passes(model)
    places = {layer: layer - 1 if layer > 0 else len(views) + layer for layer in layers}
    linears = {linear for place in places.values() for linear in views[place].query_key_value_linears()}
    outputs: dict[nn.Module, list[Tensor]] = {linear: [] for linear in linears}
    with ExitStack() as stack:
        for linear in linears:
            hook = linear.register_forward_hook(lambda module, _, output: outputs[module].append(output))
            stack.callback(hook.remove)
        yield found
    for layer, place in places.items():
        view = views[place]
        earlier = sum(one.module is view.module for one in views[:place])  # passes with the same weights
        of_pass: dict[nn.Module, Tensor] = {one: outputs[one][earlier] for one in view.query_key_value_linears()}
        found[layer] = Projections(*view.query_key_value(of_pass), view.head_size)


def needed_inputs(batch: Batch) -> Batch:
    """A batch's tensors that a model's logits depend on.

    A mask that masks nothing is left out. On a GPU it costs each layer some kernels, and it prevents fast attention
    kernels.

    Args:
        batch: The batch, on the CPU, where looking at the mask needs no synchronisation.

    Returns:
        The model's inputs.

    Examples:
        >>> ids = torch.tensor([[5, 6]])
        >>> list(needed_inputs({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor([1])}))
        ['input_ids']
    """
    masks = "attention_mask" in batch and not bool(batch["attention_mask"].all())
    return {name: batch[name] for name in MODEL_INPUTS if name in batch and (masks or name != "attention_mask")}


def _inputs(model: PreTrainedModel, batch: Batch) -> Batch:
    inputs = {name: batch[name] for name in MODEL_INPUTS if name in batch}
    # Families that are not lean may read the mask themselves, such as for attention to near tokens only.
    lean = family_of(model).lean_last_layer and model.config._attn_implementation == "sdpa"
    if lean and "attention_mask" in inputs:
        inputs["attention_mask"] = attention_mask_of(inputs["attention_mask"])
    return inputs


def _float(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
