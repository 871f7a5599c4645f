"""The alternative that takes the mean of the encoder's input embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from pipeline.alternatives.features import Encoder, Features, Matrix, Texts, joined

__all__ = ["Embeddings"]

_TABLE, _TOKENIZER = "embeddings.safetensors", "tokenizer.json"


class Embeddings(Features):
    """The mean over a text's tokens of their input embeddings, without special tokens; 0 for a text without tokens.

    Args:
        table: One embedding per token of the vocabulary, ``(tokens, width)``.
        tokenizer: The encoder's tokenizer, as JSON.
    """

    def __init__(self, table: NDArray[np.float32], tokenizer: str) -> None:
        """Keep both."""
        self._table, self._json = table, tokenizer
        self._tokenizer = Tokenizer.from_str(tokenizer)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    @classmethod
    def learn(cls, texts: Texts, encoder: Encoder) -> Self:
        """Take the embeddings from the encoder; any token of the vocabulary can occur later."""
        # Imported here, because an alternative that is loaded needs neither.
        from pipeline.alternatives.pretrained import pretrained
        from stark.model_folders.model_folder import load_tokenizer

        embeddings: Any = pretrained(encoder.path).get_input_embeddings()
        return cls(embeddings.weight.detach().numpy(), load_tokenizer(encoder.path).backend_tokenizer.to_str())

    def __call__(self, texts: Texts) -> Matrix:
        """Compute the features, an array."""
        matrix: NDArray[np.float32] = joined(self._of, texts)
        return matrix

    def _of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        found = np.zeros((len(texts), self._table.shape[1]), np.float32)
        for row, encoded in enumerate(self._tokenizer.encode_batch(list(texts), add_special_tokens=False)):
            if encoded.ids:
                found[row] = self._table[encoded.ids].mean(0)
        return found

    def save(self, folder: Path) -> None:
        """Write the embeddings and the tokenizer."""
        save_file({"table": self._table}, folder / _TABLE)
        (folder / _TOKENIZER).write_text(self._json, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(load_file(folder / _TABLE)["table"], (folder / _TOKENIZER).read_text(encoding="utf-8"))
