"""The tokens that a tokenizer needs for a corpus, and for splitting any other text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from transformers import PreTrainedTokenizerFast

from stark.errors import StarkError

__all__ = ["needed_tokens", "with_frequent_tokens"]

Spec = Mapping[str, Any]
"""The part ``model`` of a tokenizer.json."""

_BATCH = 1000
# Tokens of BERT that no text has.
_UNUSED = re.compile(r"\[unused[0-9]+\]")
# The mark of a word's beginning in tokenizers that were made with SentencePiece.
_WORD_START = "▁"


def needed_tokens(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> list[int]:
    """The ids of the tokens without which a tokenizer would split a text of a corpus differently.

    These are the tokens of the texts, those out of which byte pair encoding merges them, and all special tokens. Single
    characters and bytes are kept, too, so that any other text can still be split. A tokenizer with these tokens alone
    gives the same tokens for each text of the corpus: WordPiece takes the longest token that fits, byte pair encoding
    the first merge that fits, and a unigram model the most probable tokens, and what was taken is still there.

    Args:
        tokenizer: A fast tokenizer with a WordPiece, WordLevel, BPE or Unigram model.
        texts: The corpus.

    Returns:
        Ids, ascending.

    Raises:
        StarkError: If the tokenizer has another model.

    Examples:
        >>> from tokenizers import Tokenizer, models
        >>> vocabulary = {"[UNK]": 0, "good": 1, "go": 2, "g": 3, "##od": 4, "bad": 5, "b": 6}
        >>> backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        >>> needed_tokens(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]"), ["good"])
        [0, 1, 3, 6]
    """
    backend = tokenizer.backend_tokenizer
    spec: Spec = json.loads(backend.to_str())["model"]
    kind = spec.get("type")
    if kind not in _KINDS:
        raise StarkError(f"its tokenizer is of type {kind}: its tokens cannot be removed, only those of {_NAMES}")
    distinct = list(dict.fromkeys(texts))
    ids = set(tokenizer.all_special_ids) | set(backend.get_added_tokens_decoder())
    for start in range(0, len(distinct), _BATCH):
        for row in tokenizer(distinct[start : start + _BATCH], add_special_tokens=False, truncation=False)["input_ids"]:
            ids.update(row)
    return sorted(ids | _KINDS[kind](spec, tokenizer, distinct))


def with_frequent_tokens(tokenizer: PreTrainedTokenizerFast, keep: Sequence[int], number: int) -> list[int]:
    """More tokens than a corpus needs: the first ones of the vocabulary in addition.

    Vocabularies of WordPiece are ordered by frequency, those of byte pair encoding by their merges, and those of
    unigram models by probability, so that the first tokens are the most frequent ones in the tokenizer's own corpus.

    Args:
        tokenizer: The tokenizer.
        keep: Ids of the tokens that are needed, ascending, from `needed_tokens`.
        number: Number of tokens that are kept at least, as far as the vocabulary has as many.

    Returns:
        Ids, ascending; the same ones if they are enough already.
    """
    known, others = set(keep), list[int]()
    for token, place in sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1]):
        if place not in known and not _UNUSED.fullmatch(token):
            others.append(place)
    return sorted([*keep, *others[: max(number - len(keep), 0)]])


def _of_wordpiece(spec: Spec, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> set[int]:
    """Single characters at the beginning of words and inside them, and the token of unknown words."""
    prefix = spec["continuing_subword_prefix"]
    kept = {number for token, number in spec["vocab"].items() if len(token.removeprefix(prefix)) == 1}
    return kept | {spec["vocab"][spec["unk_token"]]}


def _of_words(spec: Spec, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> set[int]:
    """The token of unknown words."""
    return {spec["vocab"][spec["unk_token"]]} & set(spec["vocab"].values())


def _of_unigram(spec: Spec, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> set[int]:
    """Single characters, bytes, and the least probable token, from which the price of unknown characters follows."""
    pieces: list[tuple[str, float]] = spec["vocab"]
    kept = {number for number, (piece, _) in enumerate(pieces) if _is_small(piece)}
    least = min(range(len(pieces)), key=lambda number: pieces[number][1])
    return kept | {least} | ({spec["unk_id"]} if spec.get("unk_id") is not None else set())


def _of_bpe(spec: Spec, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> set[int]:
    """Single characters, bytes, and all tokens that a merge makes on the way to a token of the corpus."""
    if spec.get("continuing_subword_prefix") or spec.get("end_of_word_suffix"):
        raise StarkError("its tokenizer is a BPE with a prefix or suffix of words, whose tokens cannot be removed")
    merges = (merge if isinstance(merge, list) else merge.split(" ") for merge in spec["merges"])
    ranks = {tuple(merge): rank for rank, merge in enumerate(merges)}
    vocabulary: Mapping[str, int] = spec["vocab"]
    made: set[str] = set()
    for word in set(_words(tokenizer, texts)):
        if not (spec.get("ignore_merges") and word in vocabulary):
            made.update(_merged(word, ranks))
    kept = {number for token, number in vocabulary.items() if token in made or _is_small(token)}
    return kept | ({vocabulary[spec["unk_token"]]} if spec.get("unk_token") else set())


def _is_small(token: str) -> bool:
    """Whether a token is a character or a byte, perhaps with the mark of a word's beginning."""
    is_byte = len(token) == 6 and token.startswith("<0x") and token.endswith(">")
    return is_byte or len(token.removeprefix(_WORD_START)) <= 1


def _words(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Iterator[str]:
    """The pieces of the texts inside which byte pair encoding merges, with repetitions."""
    backend = tokenizer.backend_tokenizer
    for text in texts:
        normal = text if backend.normalizer is None else backend.normalizer.normalize_str(text)
        if backend.pre_tokenizer is None:
            yield normal
        else:
            yield from (word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal))


def _merged(word: str, ranks: Mapping[tuple[str, ...], int]) -> Iterator[str]:
    """The tokens that the merges of a word make, the last ones included."""
    tokens = list(word)
    while len(tokens) > 1:
        found = min((ranks.get(pair, len(ranks)), place) for place, pair in enumerate(pairwise(tokens)))
        if found[0] == len(ranks):
            return
        place = found[1]
        tokens[place : place + 2] = [tokens[place] + tokens[place + 1]]
        yield tokens[place]


_KINDS: dict[str, Callable[[Spec, PreTrainedTokenizerFast, list[str]], set[int]]] = {
    "WordPiece": _of_wordpiece,
    "WordLevel": _of_words,
    "Unigram": _of_unigram,
    "BPE": _of_bpe,
}
_NAMES = ", ".join(_KINDS)
