"""The alternative that counts words and pieces of words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from pipeline.alternatives.features import Encoder, Features, Matrix, Texts, joined
from stark.storage import write_json

__all__ = ["Tfidf"]

_VOCABULARY, _RARITY = "vocabulary.json", "rarity.safetensors"
_KINDS: dict[str, dict[str, Any]] = {
    "words": {"analyzer": "word", "token_pattern": r"(?u)\b\w+\b", "ngram_range": (1, 2)},
    "characters": {"analyzer": "char_wb", "ngram_range": (2, 5)},
}
# Terms of each kind, the most frequent ones; more cost memory and gain little.
_MOST_TERMS = 50_000
# With this many rows, terms of a single row are left out.
_MANY_ROWS = 2_000


class Tfidf(Features):
    """TF-IDF of words and pairs of words, and of 2 to 5 characters within words.

    Args:
        vectorizers: Fitted vectorizers by kind of term.
    """

    def __init__(self, vectorizers: dict[str, TfidfVectorizer]) -> None:
        """Keep the vectorizers."""
        self._vectorizers = vectorizers

    @classmethod
    def learn(cls, texts: Texts, encoder: Encoder) -> Self:
        """Take the terms of the training texts, of both texts of a pair together."""
        every = [*texts.first, *(texts.second or ())]
        found = {}
        for name, kind in _KINDS.items():
            vectorizer = _vectorizer(kind, min_df=2 if len(every) >= _MANY_ROWS else 1, max_features=_MOST_TERMS)
            terms = vectorizer.build_analyzer()
            if any(terms(text) for text in every):  # scikit-learn refuses texts without any term
                found[name] = vectorizer.fit(every)
        return cls(found)

    def __call__(self, texts: Texts) -> Matrix:
        """Compute the features, a sparse matrix."""
        matrix: sparse.csr_matrix = joined(self._of, texts)
        return matrix

    def _of(self, texts: Sequence[str]) -> sparse.csr_matrix:
        parts = [vectorizer.transform(texts) for vectorizer in self._vectorizers.values()]
        return sparse.hstack([sparse.csr_matrix((len(texts), 0), dtype=np.float32), *parts], format="csr")

    def save(self, folder: Path) -> None:
        """Write the terms, and how rare each one is."""
        terms = {name: found.get_feature_names_out().tolist() for name, found in self._vectorizers.items()}
        write_json(folder / _VOCABULARY, terms)
        save_file({name: found.idf_.astype(np.float32) for name, found in self._vectorizers.items()}, folder / _RARITY)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        terms, rarity, found = json.loads((folder / _VOCABULARY).read_bytes()), load_file(folder / _RARITY), {}
        for name, known in terms.items():
            found[name] = _vectorizer(_KINDS[name], vocabulary=known)
            found[name].idf_ = rarity[name]
        return cls(found)


def _vectorizer(kind: dict[str, Any], **settings: Any) -> TfidfVectorizer:  # noqa: ANN401 - scikit-learn's
    return TfidfVectorizer(**kind, sublinear_tf=True, dtype=np.float32, **settings)
