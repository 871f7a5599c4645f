"""Rows are taken apart and put together."""

import pytest

from datamodules.changes.changed import vocabulary_of
from datamodules.changes.row import Row, Vocabulary
from datamodules.sources.source import Rows
from datamodules.tokens.columns import TokenColumns
from datamodules.tokens.tokenization import load_tokenizer, tokenize_rows

WORDS = Vocabulary(frozenset({1, 2}), frozenset({7, 8}))


@pytest.mark.parametrize("texts", [[("so good", ""), ("", "x"), ("a b c", "d")], [("so [UNK] good", None), ("", None)]])
def test_taken_apart_and_put_together(tokenizer_dir, texts):
    tokenizer = load_tokenizer(str(tokenizer_dir))
    first, second = zip(*texts, strict=True)
    pairs = None if second[0] is None else list(second)
    rows = Rows(list(first), pairs, None, list(range(len(texts))))
    columns = TokenColumns.from_tensors(tokenize_rows(rows, tokenizer, 32))
    for place, parts in enumerate(texts):
        whole = columns[place]
        row = Row.of(whole["input_ids"], whole["token_type_ids"], vocabulary_of(tokenizer))
        assert row.tokens() == (whole["input_ids"], whole["token_type_ids"])
        expected = [tokenizer(part, add_special_tokens=False)["input_ids"] for part in parts if part]
        assert list(row.texts) == expected


def test_segment_ids_follow_their_texts():
    row = Row.of([1, 5, 6, 2, 9, 2], [0, 0, 0, 0, 1, 1], WORDS)
    longer = row._replace(texts=([5], [9, 3, 4]))
    assert longer.tokens() == ([1, 5, 2, 9, 3, 4, 2], [0, 0, 0, 1, 1, 1, 1])
    assert Row.of([1, 5, 2], (), WORDS).tokens() == ([1, 5, 2], [])


def test_words():
    assert WORDS.words([5, 7, 8, 6, 7]) == [[5, 7, 8], [6, 7]]
    assert WORDS.words([7, 5]) == [[7], [5]]  # a text that was cut within a word
