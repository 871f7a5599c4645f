"""From a batch to logits: the same forward pass for training, scoring, evaluation and teachers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from stark.forward.lean_attention import attention_mask_of, lean_attention

__all__ = ["MODEL_INPUTS", "Batch", "Outputs", "classify", "needed_inputs", "outputs_of"]


Batch = dict[str, Tensor]

MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""Names of a batch's tensors that encoders read."""


_NONE: Mapping[int, Tensor] = MappingProxyType({})


class Outputs(NamedTuple):
    """A model's outputs for a batch, as far as a loss needs them.

    Args:
        logits: Logits, ``(batch, num_labels)``.
        hidden_states: Hidden states by the number of the layer as in transformers (0 is the embeddings, -1 the last
            layer), each of shape ``(batch, length, hidden_size)``; only of the layers that the loss needs.
    """

    logits: Tensor
    hidden_states: Mapping[int, Tensor] = _NONE


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


def outputs_of(model: PreTrainedModel, batch: Batch, layers: Sequence[int] = ()) -> Outputs:
    """Logits, as from `classify`, and the hidden states of some layers.

    Args:
        model: A sequence classifier.
        batch: The model's inputs; other keys are ignored.
        layers: Numbers of layers as in transformers: 0 is the embeddings, -1 the last layer. Without layers, the model
            computes only what its logits need.

    Returns:
        The outputs.
    """
    if not layers:
        return Outputs(classify(model, batch))
    outputs = model(**_inputs(model, batch), output_hidden_states=True)
    return Outputs(_float(outputs.logits), {layer: outputs.hidden_states[layer] for layer in layers})


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
    if "attention_mask" in inputs and model.config._attn_implementation == "sdpa":
        inputs["attention_mask"] = attention_mask_of(inputs["attention_mask"])
    return inputs


def _float(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
