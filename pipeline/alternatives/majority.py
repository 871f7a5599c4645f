"""The alternative that does not read the text: always the most frequent class, or the mean score."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np

from pipeline.alternatives.features import Encoder, Features, Matrix, Texts

__all__ = ["Majority"]


class Majority(Features):
    """No features: `fit_linear` then takes the constant answer."""

    @classmethod
    def learn(cls, texts: Texts, encoder: Encoder) -> Self:
        """Nothing is needed."""
        return cls()

    def __call__(self, texts: Texts) -> Matrix:
        """No columns, ``(rows, 0)``."""
        return np.zeros((len(texts.first), 0), np.float32)

    def save(self, folder: Path) -> None:
        """Nothing is written."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Nothing is read."""
        return cls()
