"""Tokenising texts once: the token ids are stored in a cache, which is memory-mapped when it is used."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Encoding
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import TruncationStrategy
from transformers.utils.generic import PaddingStrategy

from datamodules.settings import SegmentIds
from datamodules.sources.source import Rows, Source
from datamodules.tasks.task import Task
from datamodules.tokens.cache import CacheFile
from datamodules.tokens.columns import TokenColumns
from stark.errors import StarkError
from stark.storage import ReadError, check_sizes, is_file, reading

__all__ = [
    "encode",
    "encodings_of",
    "flattened",
    "load_tokenizer",
    "tokenize_rows",
    "tokenize_split",
    "tokenizer_digest",
    "truncate_pair",
]

# Part of every cache key: increase it whenever the same input would give other columns.
FORMAT = 4
# Number of rows that are Python lists at a time: it limits the memory even for 400,000 rows.
CHUNK = 10_000
# More tokens than any row has.
_UNLIMITED = 2**31 - 1
# The smallest types that hold the columns of tokens.
_DTYPES = {"input_ids": np.int32, "token_type_ids": np.int8}


def load_tokenizer(model_name_or_path: str) -> PreTrainedTokenizerFast:
    """Load a fast tokenizer.

    Args:
        model_name_or_path: A model folder or an id on the hub.

    Returns:
        The tokenizer.

    Raises:
        StarkError: It cannot be loaded, is not fast, or has no vocabulary or padding token.
    """
    try:
        with reading(model_name_or_path):
            if is_file(config := Path(model_name_or_path, "config.json")):  # transformers makes a list of its labels
                check_sizes(dict(json.loads(config.read_bytes())))
            tokenizer = AutoTokenizer.from_pretrained(model_name_or_path, trust_remote_code=False)
    except ReadError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StarkError(f"cannot load a tokenizer from {model_name_or_path!r}: {reason}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise StarkError(f"the tokenizer of {model_name_or_path!r} has no fast version ({type(tokenizer).__name__})")
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        # from_pretrained makes an empty tokenizer if a folder has a config.json but no tokenizer files
        raise StarkError(f"the tokenizer of {model_name_or_path!r} has no vocabulary: are its files in the folder?")
    if tokenizer.pad_token_id is None:
        raise StarkError(f"the tokenizer of {model_name_or_path!r} has no padding token")
    return tokenizer


def tokenizer_digest(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return a hash of a tokenizer, independent of the padding and truncation that it was last used with.

    Both are removed from its backend; each call of the tokenizer sets them again.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    # The backend writes a sorted vocabulary; sorting it here would take a hundred times as long.
    content = [backend.to_str(), tokenizer.model_input_names, tokenizer.truncation_side]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def truncate_pair(text_a: list[int], text_b: list[int], budget: int) -> tuple[list[int], list[int]]:
    """Cut the longer of two lists at its end until both fit, ``text_b`` if they are equal: the released code's rule.

    Args:
        text_a: Token ids of the first text.
        text_b: Token ids of the second text.
        budget: Maximum number of ids of both together.

    Returns:
        Both lists, cut.

    Examples:
        >>> truncate_pair([1, 2, 3, 4], [5, 6, 7, 8], 5)
        ([1, 2, 3], [5, 6])
        >>> truncate_pair([1], [5, 6, 7, 8], 4)
        ([1], [5, 6, 7])
    """
    if len(text_a) + len(text_b) <= budget:
        return text_a, text_b
    # Either the shorter list fits into its half and is kept whole, or both are cut to halves. text_a gets the odd
    # token, because text_b is cut first when both are equally long.
    keep_a, keep_b = budget - budget // 2, budget // 2
    if len(text_a) < keep_a:
        keep_a, keep_b = len(text_a), budget - len(text_a)
    elif len(text_b) < keep_b:
        keep_a, keep_b = budget - len(text_b), len(text_b)
    return text_a[:keep_a], text_b[:keep_b]


def encode(
    tokenizer: PreTrainedTokenizerFast,
    text_a: list[str],
    text_b: list[str] | None,
    *,
    max_length: int,
    segment_ids: SegmentIds,
) -> dict[str, list[list[int]]]:
    """Tokenise texts or pairs of texts.

    Args:
        tokenizer: A fast tokenizer.
        text_a: The first texts.
        text_b: The second texts, None for single texts.
        max_length: Maximum number of tokens of a row, special tokens included.
        segment_ids: "tokenizer" for the tokenizer's segment ids; "stark" for those of the released code, where the
            second segment of a pair starts and ends two tokens too early, and for its truncation of pairs.

    Returns:
        ``input_ids``, and ``token_type_ids`` if the tokenizer has them; not padded.

    Raises:
        StarkError: ``segment_ids`` is "stark", but the tokenizer is not built like BERT's.
    """
    if segment_ids == "stark":
        return _encode_stark(tokenizer, text_a, text_b, max_length)
    # The fast tokenizer's longest_first gives the odd token to the longer text (to text_b if they are equal), the
    # released code always to text_a. The tokenizer's truncation has no option for the released rule, only strategy,
    # direction and stride: rows over max_length can differ from the released code's by one token in each text.
    texts = text_a if text_b is None else list(zip(text_a, text_b, strict=True))
    encodings = encodings_of(tokenizer, texts, max_length=max_length)
    encoded = {"input_ids": [encoding.ids for encoding in encodings]}
    if "token_type_ids" in tokenizer.model_input_names:
        encoded["token_type_ids"] = [encoding.type_ids for encoding in encodings]
    return encoded


def encodings_of(
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str | tuple[str, str]],
    *,
    max_length: int | None,
    strategy: TruncationStrategy = TruncationStrategy.LONGEST_FIRST,
    overlap: int = 0,
) -> list[Encoding]:
    """Return the backend's encodings: with special tokens and truncated, or, without max_length, neither.

    Calling the tokenizer would also make Python lists of everything, row by row, which takes longer than tokenising on
    all cores.

    Args:
        tokenizer: A fast tokenizer.
        texts: Texts or pairs of texts.
        max_length: Maximum number of tokens of an encoding, special tokens included; None for no limit.
        strategy: Which text of a pair is truncated.
        overlap: Number of tokens that an encoding shares with the next one of those in its ``overflowing``.
    """
    chosen = TruncationStrategy.DO_NOT_TRUNCATE if max_length is None else strategy
    tokenizer.set_truncation_and_padding(PaddingStrategy.DO_NOT_PAD, chosen, max_length or 0, overlap, None, None)
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = tokenizer.split_special_tokens
    encodings: list[Encoding] = backend.encode_batch(texts, add_special_tokens=max_length is not None)
    return encodings


def flattened(lengths: np.ndarray, lists: Mapping[str, Iterable[list[int]]]) -> dict[str, np.ndarray]:
    """Return the columns of rows whose tokens are concatenated.

    Args:
        lengths: Number of tokens of each row.
        lists: ``input_ids`` and optionally ``token_type_ids`` of each row.

    Examples:
        >>> flattened(np.array([3, 2]), {"input_ids": [[2, 7, 3], [2, 3]]})["input_ids"].tolist()
        [2, 7, 3, 2, 3]
    """
    total = int(lengths.sum())
    flat = {name: np.fromiter(chain.from_iterable(rows), _DTYPES[name], total) for name, rows in lists.items()}
    return {"lengths": lengths, **flat}


def tokenize_split(
    source: Source,
    task: Task,
    split: str,
    tokenizer: PreTrainedTokenizerFast,
    *,
    max_length: int,
    segment_ids: SegmentIds,
    cache_dir: str | None,
) -> tuple[TokenColumns, str]:
    """Return a tokenised split, from the cache if it is there, and the digest of the content it was made from.

    Args:
        source: Source of the rows.
        task: The task whose rows are read.
        split: "train", "dev" or "test".
        tokenizer: A fast tokenizer.
        max_length: As in `encode`.
        segment_ids: As in `encode`.
        cache_dir: As in `cache_folder`.

    Returns:
        Memory-mapped columns, with token_type_ids if the tokenizer has them, and with labels (int64 class ids or
        float32 scores) except in test; and the source's digest of the bytes that the rows were parsed from.
    """
    settings = {
        "format": FORMAT,
        "tokenizer": tokenizer_digest(tokenizer),
        "task": task.name,
        "split": split,
        "max_length": max_length,
        "segment_ids": segment_ids,
    }

    def place(content: str) -> CacheFile:
        return CacheFile.of(cache_dir, f"{task.name}-{split}", {**settings, "source": content})

    content = source.digest(split)
    stored = place(content).read()
    if stored is not None:
        return stored, content
    rows = source.rows(split)
    columns = tokenize_rows(rows, tokenizer, max_length, segment_ids, label_dtype=task.problem.label_dtype)
    # The digest of the content that was read: the file may have changed since the look-up.
    return place(rows.digest).write(columns), rows.digest


def _encode_stark(
    tokenizer: PreTrainedTokenizerFast, text_a: list[str], text_b: list[str] | None, max_length: int
) -> dict[str, list[list[int]]]:
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    if cls is None or sep is None or "token_type_ids" not in tokenizer.model_input_names:
        raise StarkError("segment_ids 'stark' needs a tokenizer built like BERT's, with [CLS], [SEP] and segment ids")

    def ids(texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in encodings_of(tokenizer, texts, max_length=None)]

    input_ids, segments = [], []
    for first, second in zip(ids(text_a), ids(text_b or [""] * len(text_a)), strict=True):
        if second:
            a, b = truncate_pair(first, second, max_length - 3)
            input_ids.append([cls, *a, sep, *b, sep])
            # Off by two: the last token and [SEP] of text_a get 1, those of text_b 0. Published checkpoints need this.
            segments.append([0] * len(a) + [1] * (len(b) + 1) + [0, 0])
        else:
            input_ids.append([cls, *first[: max_length - 2], sep])
            segments.append([0] * len(input_ids[-1]))
    return {"input_ids": input_ids, "token_type_ids": segments}


def tokenize_rows(
    rows: Rows,
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    segment_ids: SegmentIds = "tokenizer",
    *,
    label_dtype: torch.dtype = torch.int64,
) -> dict[str, Tensor]:
    """Tokenise all rows of a split.

    Args:
        rows: The rows; at least one.
        tokenizer: A fast tokenizer.
        max_length: As in `encode`.
        segment_ids: As in `encode`.
        label_dtype: The type of the labels.

    Returns:
        The columns for `TokenColumns.from_tensors`.
    """
    parts: dict[str, list[Any]] = {}
    for start in range(0, len(rows.text_a), CHUNK):
        chunk = slice(start, start + CHUNK)
        text_a, text_b = rows.text_a[chunk], None if rows.text_b is None else rows.text_b[chunk]
        encoded = encode(tokenizer, text_a, text_b, max_length=max_length, segment_ids=segment_ids)
        lengths = np.array([len(ids) for ids in encoded["input_ids"]], np.int32)
        lost = _lost(tokenizer, text_a, text_b, lengths, max_length, segment_ids)
        for name, column in {**flattened(lengths, encoded), "lost": lost}.items():
            parts.setdefault(name, []).append(column)
    columns = {name: torch.from_numpy(np.concatenate(arrays)) for name, arrays in parts.items()}
    columns["idx"] = torch.tensor(rows.idx)
    if rows.labels is not None:
        # the type that the losses need, independent of the default dtype
        columns["labels"] = torch.tensor(rows.labels, dtype=label_dtype)
    if rows.groups is not None:
        columns["group"] = torch.tensor(rows.groups)
    return columns


def _lost(
    tokenizer: PreTrainedTokenizerFast,
    text_a: Sequence[str],
    text_b: Sequence[str] | None,
    lengths: np.ndarray,
    max_length: int,
    segment_ids: SegmentIds,
) -> np.ndarray:
    """Return the number of tokens that each row lost; rows of full length are tokenised again, without a limit."""
    lost = np.zeros(len(lengths), np.int32)
    full = np.flatnonzero(lengths >= max_length)
    # The released code takes a pair without a second text for a single text.
    texts = [
        text_a[row]
        if text_b is None or (segment_ids == "stark" and not text_b[row].strip())
        else (text_a[row], text_b[row])
        for row in full.tolist()
    ]
    if texts:
        whole = encodings_of(tokenizer, texts, max_length=_UNLIMITED)
        lost[full] = np.array([len(encoding) for encoding in whole]) - lengths[full]
    return lost
