"""The alternative that takes the mean of the hidden states of the encoder, which is not finetuned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from datamodules import evaluation_batches
from pipeline.alternatives.features import Encoder, Features, Matrix, Texts, joined
from pipeline.alternatives.pretrained import pretrained
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier

__all__ = ["Frozen"]

_ENCODER, _LENGTH = "encoder", "max_length.txt"
_BATCH = 32


class Frozen(Features):
    """The mean of the last hidden states over the tokens of a text, special ones included and padding not.

    Args:
        model: The encoder, in eval mode, with a classifier that is not used.
        tokenizer: Its tokenizer.
        max_length: Maximum number of tokens of a text.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, max_length: int) -> None:
        """Keep them."""
        self._model, self._tokenizer, self._max_length = model, tokenizer, max_length

    @classmethod
    def learn(cls, texts: Texts, encoder: Encoder) -> Self:
        """Take the encoder."""
        model = nn.Module.to(pretrained(encoder.path), encoder.device)
        return cls(model, load_tokenizer(encoder.path), encoder.max_length)

    def __call__(self, texts: Texts) -> Matrix:
        """Compute the features, an array."""
        matrix: NDArray[np.float32] = joined(self._of, texts)
        return matrix

    def _of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = self._tokenizer(list(texts), truncation=True, max_length=self._max_length)
        found = np.zeros((len(texts), self._model.config.hidden_size), np.float32)
        for numbers in evaluation_batches([len(ids) for ids in rows["input_ids"]], _BATCH):
            batch = self._tokenizer.pad(
                {name: [rows[name][number] for number in numbers] for name in ("input_ids", "attention_mask")},
                return_tensors="pt",
            ).to(self._model.device)
            with torch.inference_mode():
                hidden = self._model.base_model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None].to(hidden.dtype)
            found[numbers] = ((hidden * mask).sum(1) / mask.sum(1)).cpu().numpy()
        return found

    def save(self, folder: Path) -> None:
        """Write a model folder."""
        save_classifier(self._model, folder / _ENCODER, self._tokenizer)
        (folder / _LENGTH).write_text(f"{self._max_length}\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        place = folder / _ENCODER
        return cls(load_classifier(place), load_tokenizer(place), int((folder / _LENGTH).read_text()))
