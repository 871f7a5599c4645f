"""From a batch to logits, the same way for every model that is trained, scored, evaluated or asked as a teacher."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from stark.forward.lean_attention import attention_mask_of, lean_attention

__all__ = ["Batch", "classify", "classify_with_hidden_states"]


Batch = dict[str, Tensor]

_MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def classify(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Logits ``(batch, num_labels)`` of a model, at least float32.

    Args:
        model: A sequence classifier.
        batch: Its inputs; other keys are left out.

    Returns:
        The logits.
    """
    with lean_attention(model):
        return _float(model(**_inputs(model, batch)).logits)


def classify_with_hidden_states(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Logits as of `classify`, and the hidden states of the embeddings and of each layer.

    Args:
        model: A sequence classifier.
        batch: Its inputs; other keys are left out.

    Returns:
        The logits, and one tensor ``(batch, length, hidden_size)`` for the embeddings and for each layer.
    """
    outputs = model(**_inputs(model, batch), output_hidden_states=True)
    return _float(outputs.logits), outputs.hidden_states


def _inputs(model: PreTrainedModel, batch: Batch) -> Batch:
    inputs = {name: batch[name] for name in _MODEL_INPUTS if name in batch}
    if "attention_mask" in inputs and model.config._attn_implementation == "sdpa":
        inputs["attention_mask"] = attention_mask_of(inputs["attention_mask"])
    return inputs


def _float(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
