"""Loading a masked language model: an encoder with the head of its pretraining, which predicts masked tokens."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel

from stark.errors import StarkError
from stark.model_folders.foreign import checked_config, one_line_errors, own_weights_, quiet

__all__ = ["load_masked_language_model"]


def load_masked_language_model(path: str | Path) -> PreTrainedModel:
    """Load a masked language model from a folder or from the Hugging Face hub, in float32 and eval mode.

    Args:
        path: A local folder or, if a string, an id on the hub.

    Raises:
        StarkError: If there is no usable model, or a part of it is not stored, such as the head, which transformers
            would draw at random.
        ReadError: If a file could not be read now.
    """
    with one_line_errors(path), quiet():
        model, loaded = AutoModelForMaskedLM.from_pretrained(
            str(path),
            config=checked_config(path),
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        if missing := sorted(loaded["missing_keys"]):
            raise StarkError(
                f"it is no masked language model: {len(missing)} weights are missing, such as {missing[0]}"
            )
    own_weights_(model, path)
    masked: PreTrainedModel = model.eval()
    return masked
