"""Overlapping windows of texts that have more tokens than a model takes."""

from __future__ import annotations

from itertools import chain

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast
from transformers.tokenization_utils_base import TruncationStrategy

from datamodules.sources.source import Rows
from datamodules.tokens.columns import TokenColumns
from datamodules.tokens.tokenization import encodings_of, flattened, tokenize_rows

__all__ = ["tokenize_windows"]

# The part of a row's tokens that two neighbouring windows share, so that no phrase is cut in all of them.
_OVERLAP = 4


def tokenize_windows(rows: Rows, tokenizer: PreTrainedTokenizerFast, max_length: int) -> TokenColumns:
    """Tokenise rows without loss: one that is too long becomes several windows of at most ``max_length`` tokens.

    Neighbouring windows share a quarter of a row's tokens, special tokens not counted. Of a pair the second text is cut
    into windows, each after the whole first text. Where the first text takes more than half of the tokens, the pair is
    truncated as usual.

    Args:
        rows: The rows, numbered from 0.
        tokenizer: A fast tokenizer, whose segment ids are used.
        max_length: Maximum number of tokens of a window, special tokens included.

    Returns:
        The first window of each row, in the rows' order, and then all further windows. ``idx`` is the number of the
        window's row.
    """
    columns = TokenColumns.from_tensors(tokenize_rows(rows, tokenizer, max_length))
    is_pair = rows.text_b is not None
    free = max_length - tokenizer.num_special_tokens_to_add(pair=is_pair)
    cut = columns.lost.nonzero().flatten().tolist()
    if is_pair and cut:
        firsts = encodings_of(tokenizer, [rows.text_a[row] for row in cut], max_length=None)
        cut = [row for row, first in zip(cut, firsts, strict=True) if len(first) <= free // 2]
    if not cut:
        return columns
    encodings = encodings_of(
        tokenizer,
        [rows.text_a[row] if rows.text_b is None else (rows.text_a[row], rows.text_b[row]) for row in cut],
        max_length=max_length,
        strategy=TruncationStrategy.ONLY_SECOND if is_pair else TruncationStrategy.ONLY_FIRST,
        overlap=free // _OVERLAP,
    )
    windows = [[encoding, *encoding.overflowing] for encoding in encodings]
    numbers = [[row] * len(own) for row, own in zip(cut, windows, strict=True)]
    every = list(chain.from_iterable(windows))
    lists = {"input_ids": (window.ids for window in every)}
    if "token_type_ids" in tokenizer.model_input_names:
        lists["token_type_ids"] = (window.type_ids for window in every)
    flat = flattened(np.array([len(window) for window in every], np.int32), lists)
    made = {name: torch.from_numpy(column) for name, column in flat.items()}
    made["idx"] = torch.tensor(list(chain.from_iterable(numbers)))
    # Each row's first window takes the place of the truncated row; the others follow behind all rows.
    joined, places, more = columns.joined(TokenColumns.from_tensors(made)), list(range(len(columns))), list[int]()
    place = len(columns)
    for row, own in zip(cut, windows, strict=True):
        places[row] = place
        more += range(place + 1, place + len(own))
        place += len(own)
    return joined.select([*places, *more])
