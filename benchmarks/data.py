"""Generated rows that have the lengths of GLUE's tasks and the layout of its files.

Only the lengths matter for speed. They are token counts after tokenisation and truncation to 128, special tokens
included, drawn from quantiles that were measured on the tasks' train files with BERT's uncased vocabulary. Tokens
follow Zipf's law, because the number of different tokens in a batch determines the work for the embedding. Labels are
random, because the models need not learn anything.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

__all__ = ["LENGTHS", "VOCABULARY_SIZE", "lengths_like", "vocabulary", "write_task"]

VOCABULARY_SIZE = 30522

#: Points (fraction of the rows, length) of each task's distribution.
LENGTHS: dict[str, Sequence[tuple[float, float]]] = {
    # mean 66.6; 12.6 % are cut to 128
    "rte": (
        *((0.0, 13), (0.1, 33), (0.2, 40), (0.3, 45), (0.4, 50), (0.5, 56), (0.6, 62), (0.7, 72), (0.8, 103)),
        *((0.874, 128), (1.0, 128)),
    ),
    # mean 53.2
    "mrpc": (
        *((0.0, 19), (0.1, 36), (0.2, 41), (0.3, 45), (0.4, 50), (0.5, 53), (0.6, 57), (0.7, 61), (0.8, 64)),
        *((0.9, 70), (1.0, 94)),
    ),
    # mean 13.3 to 13.7, depending on the part of train
    "sst2": (
        *((0.0, 3), (0.1, 4), (0.2, 6), (0.3, 7), (0.4, 8), (0.5, 10), (0.6, 12), (0.7, 15), (0.8, 20)),
        *((0.9, 27), (1.0, 54)),
    ),
}
_FOLDERS = {"rte": "RTE", "mrpc": "MRPC", "sst2": "SST-2"}
_LABELS = {"rte": ("entailment", "not_entailment"), "mrpc": ("0", "1"), "sst2": ("0", "1")}
_HEADERS = {
    "rte": ("index", "sentence1", "sentence2", "label"),
    "mrpc": ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"),
    "sst2": ("sentence", "label"),
}
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@cache
def vocabulary() -> tuple[str, ...]:
    """A vocabulary of BERT's size: special tokens, letters, and words made of random syllables."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    syllables = [consonant + vowel for consonant in "bcdfghjklmnpqrstvwxz" for vowel in "aeiou"]
    words = ("".join(parts) for count in (2, 3) for parts in itertools.product(syllables, repeat=count))
    tokens = [*_SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    return (*tokens, *itertools.islice(words, VOCABULARY_SIZE - len(tokens)))


def lengths_like(task: str, rows: int, seed: int = 0) -> list[int]:
    """Draw the lengths of rows, in tokens.

    Args:
        task: A key of `LENGTHS`.
        rows: Number of rows.
        seed: Seed of the draw.

    Returns:
        One length per row. They are spread evenly over the distribution, so that even a few rows have its mean.

    Examples:
        >>> round(sum(lengths_like("sst2", 1000)) / 1000, 1)
        13.7
    """
    points = LENGTHS[task]
    fractions = [fraction for fraction, _ in points]
    dice, lengths = random.Random(seed), []
    for row in range(rows):
        at = (row + dice.random()) / rows
        end = min(max(bisect.bisect_left(fractions, at), 1), len(points) - 1)
        (x0, y0), (x1, y1) = points[end - 1], points[end]
        lengths.append(round(y0 + (y1 - y0) * (at - x0) / (x1 - x0)))
    dice.shuffle(lengths)
    return lengths


def write_task(folder: Path, task: str, *, rows: int, dev_rows: int, seed: int = 0) -> Path:
    """Write a task's train and dev files.

    Args:
        folder: The data folder; the task's files are written to a subfolder.
        task: A key of `LENGTHS`.
        rows: Number of train rows.
        dev_rows: Number of dev rows.
        seed: Seed of lengths, words and labels.

    Returns:
        The data folder.
    """
    place = folder / _FOLDERS[task]
    place.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", rows), ("dev", dev_rows)):
        dice = random.Random(f"{task} {split} {seed}")
        words = _Words(dice)
        lines = ["\t".join(_HEADERS[task])]
        for number, length in enumerate(lengths_like(task, count, seed)):
            lines.append("\t".join(_cells(task, number, length, words, dice.choice(_LABELS[task]))))
        (place / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


class _Words:
    """Words drawn by Zipf's law; rows and batches have about as many different words as those of RTE and SST-2."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._words = [token for token in vocabulary() if token.isalpha() and len(token) > 1]
        # Shuffled, so that a word's frequency does not depend on its row in the embedding.
        random.Random(0).shuffle(self._words)
        self._weights = list(itertools.accumulate(1 / (rank + 3) ** 1.15 for rank in range(len(self._words))))

    def text(self, count: int) -> str:
        return " ".join(self._dice.choices(self._words, cum_weights=self._weights, k=count))


def _cells(task: str, number: int, length: int, words: _Words, label: str) -> list[str]:
    if task == "sst2":
        return [words.text(length - 2), label]
    first = max((length - 3) * 2 // 3, 1)
    texts = [words.text(first), words.text(length - 3 - first)]
    return [str(number), *texts, label] if task == "rte" else [label, str(number), str(number), *texts]
