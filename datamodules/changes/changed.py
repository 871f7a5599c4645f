"""Making changed rows from the rows that are trained on."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerFast

from datamodules.batches.grouping import seeded_generator
from datamodules.changes.cutting import cut_span
from datamodules.changes.deleting import delete_words
from datamodules.changes.filling import fill_masked, open_filler
from datamodules.changes.masking import mask_words
from datamodules.changes.mixing import mix_halves
from datamodules.changes.row import MASKED, Change, Row, Vocabulary
from datamodules.changes.swapping import swap_tokens
from datamodules.settings import ChangeName
from datamodules.tokens.columns import TokenColumns
from stark.errors import StarkError

__all__ = ["CHANGES", "changed_rows", "vocabulary_of"]

CHANGES: dict[ChangeName, Change] = {
    "swap": swap_tokens,
    "delete": delete_words,
    "cut": cut_span,
    "mix": mix_halves,
    "masked_lm": mask_words,
}
"""The changes by their names in settings."""


def vocabulary_of(tokenizer: PreTrainedTokenizerFast) -> Vocabulary:
    """Find out which tokens of a tokenizer enclose texts and which continue a word.

    Tokens that continue a word begin with ## (WordPiece), or do not begin with the mark of a space (byte-level BPE and
    SentencePiece).

    Args:
        tokenizer: A fast tokenizer.
    """
    tokens = tokenizer.get_vocab()
    ends = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
    special = frozenset(token for token in ends if token is not None)  # not the unknown token, which is part of a text
    if any(token.startswith("##") for token in tokens):
        return Vocabulary(special, frozenset(number for token, number in tokens.items() if token.startswith("##")))
    spaces = ("\u0120", "\u2581")  # how these tokenizers write a space
    if any(token.startswith(spaces) for token in tokens):
        inner = frozenset(number for token, number in tokens.items() if not token.startswith(spaces))
        return Vocabulary(special, inner - special)
    return Vocabulary(special, frozenset())


def changed_rows(
    rows: TokenColumns,
    number: int,
    changes: Sequence[ChangeName],
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    seed: int,
    masked_language_model: str | None = None,
) -> TokenColumns:
    """Make changed rows; only a teacher can say what their labels are.

    The rows take turns, and so do the changes. A changed row that is too long is cut at its end.

    Args:
        rows: Rows that are trained on.
        number: Number of changed rows to make.
        changes: Names of the changes.
        tokenizer: The tokenizer of the rows.
        max_length: Maximum number of tokens of a row.
        seed: Seed of the changes.
        masked_language_model: Folder or hub id of the model that fills masked places; only for the change masked_lm.

    Returns:
        The changed rows, numbered from 0, without labels.

    Raises:
        StarkError: All rows are empty, or the masked language model cannot fill these rows.
    """
    vocabulary = vocabulary_of(tokenizer)
    draw = random.Random(int(torch.randint(2**62, (), generator=seeded_generator("changes", seed))))
    taken = [_row(rows, place, vocabulary) for place in range(len(rows))]
    by_texts: dict[int, list[Row]] = {}
    for row in taken:
        by_texts.setdefault(len(row.texts), []).append(row)
    usable = [row for row in taken if row.texts]
    if not usable:
        raise StarkError("data.changed_rows: all rows to change are empty")
    columns: dict[str, list[int]] = {name: [] for name in rows.tokens}
    lengths = []
    for count in range(number):
        row = usable[count % len(usable)]
        change = CHANGES[changes[(count // len(usable) + count) % len(changes)]]
        texts = change(row, draw.choice(by_texts[len(row.texts)]), vocabulary, draw)
        ids, segments = row._replace(texts=_fitting(texts, max_length - len(row.frame) + len(texts))).tokens()
        columns["input_ids"] += ids
        if "token_type_ids" in columns:
            columns["token_type_ids"] += segments
        lengths.append(len(ids))
    flat = {name: torch.tensor(values, dtype=rows.tokens[name].dtype) for name, values in columns.items()}
    made = TokenColumns.from_tensors({**flat, "lengths": torch.tensor(lengths), "idx": torch.arange(number)})
    if masked_language_model is not None and (made.tokens["input_ids"] == MASKED).any():
        is_pair = any(columns.get("token_type_ids", ()))
        model = open_filler(masked_language_model, tokenizer, max_length, is_pair=is_pair)
        made.tokens["input_ids"] = fill_masked(made, model, tokenizer, seeded_generator("masked places", seed))
    return made


def _row(rows: TokenColumns, place: int, vocabulary: Vocabulary) -> Row:
    row = rows[place]
    return Row.of(row["input_ids"], row.get("token_type_ids", ()), vocabulary)


def _fitting(texts: tuple[list[int], ...], most: int) -> tuple[list[int], ...]:
    """Cut the ends of the longest texts until all of them together have at most so many tokens."""
    sizes = [len(text) for text in texts]
    while sum(sizes) > most:
        sizes[sizes.index(max(sizes))] -= 1
    return tuple(text[:size] for text, size in zip(texts, sizes, strict=True))
