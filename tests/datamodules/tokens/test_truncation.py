"""Tokens that rows lose, counted by the plain tokenizer without a limit."""

import random

import pytest
import torch

from datamodules.sample import sample_vocabulary
from datamodules.sources.source import Rows
from datamodules.tokens import tokenization
from datamodules.tokens.columns import TokenColumns
from datamodules.tokens.tokenization import tokenize_rows
from datamodules.tokens.truncation import Truncation


@pytest.mark.parametrize("chunk", [7, 1000])
@pytest.mark.parametrize("segment_ids", ["tokenizer", "stark"])
@pytest.mark.parametrize("is_pair", [False, True])
def test_lost_tokens_are_those_above_the_limit(tokenizer, monkeypatch, chunk, segment_ids, is_pair):
    monkeypatch.setattr(tokenization, "CHUNK", chunk)
    draw = random.Random(0)
    words = [word for word in sample_vocabulary() if word.isalpha()]
    first, second = ([" ".join(draw.choices(words, k=draw.randrange(1, 30))) for _ in range(50)] for _ in range(2))
    whole = [len(ids) for ids in tokenizer(first, second if is_pair else None)["input_ids"]]
    rows = Rows(first, second if is_pair else None, None, list(range(50)))
    columns = TokenColumns.from_tensors(tokenize_rows(rows, tokenizer, 24, segment_ids))
    assert columns.lost.tolist() == [max(length - 24, 0) for length in whole]
    assert (columns.lengths + columns.lost).tolist() == whole
    lost = [length - 24 for length in whole if length > 24]
    assert 0 < len(lost) < 50
    assert Truncation.of(columns) == (len(lost), 50, sum(lost), sum(whole))
    # Parts and joined parts have their rows' numbers.
    part = columns.select(torch.arange(10))
    assert part.lost.tolist() == columns.lost[:10].tolist()
    assert part.joined(columns).lost.tolist() == [*part.lost.tolist(), *columns.lost.tolist()]


def test_a_pair_without_a_second_text(tokenizer):
    for segment_ids, lost in (("stark", 3), ("tokenizer", 4)):  # the tokenizer separates the empty text, too
        rows = Rows(["the old train said no more"], [" "], None, [0])
        assert tokenize_rows(rows, tokenizer, 5, segment_ids)["lost"].tolist() == [lost]


def test_parts_together_and_the_sentence():
    both = Truncation(1, 3, 1, 4000).and_of(Truncation(0, 2, 0, 100))
    assert both == (1, 5, 1, 4100)
    assert both.told(8) == "1 of 5 rows has more than 8 tokens and is cut, which loses less than 0.1 % of all tokens"
