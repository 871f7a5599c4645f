"""What a simple alternative turns texts into: the features of a linear model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["Encoder", "Features", "Matrix", "Texts", "joined"]

Matrix: TypeAlias = NDArray[np.float32] | sparse.csr_matrix
"""Features, ``(rows, features)``."""


class Texts(NamedTuple):
    """Texts of rows.

    Args:
        first: The first texts.
        second: The second texts; None for tasks of single texts.
    """

    first: Sequence[str]
    second: Sequence[str] | None = None


class Encoder(NamedTuple):
    """The encoder of a run, before it is finetuned.

    Args:
        path: Its folder, or its id on the hub.
        max_length: Maximum number of tokens of a text.
        device: Device that it computes on.
    """

    path: str
    max_length: int
    device: str = "cpu"


class Features(ABC):
    """The features of texts. A new alternative is a subclass in a separate file, and a line in `ALTERNATIVES`."""

    @classmethod
    @abstractmethod
    def learn(cls, texts: Texts, encoder: Encoder) -> Self:
        """Take what the features need from training texts or from the encoder.

        Args:
            texts: The texts of the rows that are trained on.
            encoder: The run's encoder.

        Returns:
            The features.
        """

    @abstractmethod
    def __call__(self, texts: Texts) -> Matrix:
        """Compute the features.

        Args:
            texts: Texts of one row or more.

        Returns:
            Shape ``(rows, features)``.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write all that `load` needs into an existing folder.

        Args:
            folder: The folder.
        """

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. No code in the folder is run.

        Args:
            folder: The folder.

        Returns:
            The features.
        """


def joined(features: Callable[[Sequence[str]], Any], texts: Texts) -> Any:  # noqa: ANN401 - the kind of matrix stays
    """The features of single texts, or those of both texts of a pair side by side.

    Args:
        features: Function of texts to an array or a sparse matrix, ``(rows, features)``.
        texts: The texts.

    Returns:
        For pairs the features a and b of both texts, ``[a, b]``; where they are an array, ``[a, b, |a - b|, a * b]``.

    Examples:
        >>> lengths = lambda texts: np.array([[len(text)] for text in texts])
        >>> joined(lengths, Texts(["one", "three"], ["a", "pair"])).tolist()
        [[3, 1, 2, 3], [5, 4, 1, 20]]
    """
    first = features(texts.first)
    if texts.second is None:
        return first
    second = features(texts.second)
    if sparse.issparse(first):
        return sparse.hstack([first, second], format="csr")
    return np.hstack([first, second, np.abs(first - second), first * second])
