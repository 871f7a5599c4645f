"""Changed rows: what each change may do, and that nothing else of a row changes."""

import random
from collections import Counter

import pytest
import torch

from datamodules.changes.changed import CHANGES, changed_rows, vocabulary_of
from datamodules.changes.cutting import cut_span
from datamodules.changes.deleting import delete_words
from datamodules.changes.masking import mask_words
from datamodules.changes.mixing import mix_halves
from datamodules.changes.row import MASKED, Row, Vocabulary
from datamodules.changes.swapping import swap_tokens
from datamodules.sources.source import Rows
from datamodules.tokens.columns import TokenColumns
from datamodules.tokens.tokenization import load_tokenizer, tokenize_rows

CLS, SEP = 1, 2
WORDS = Vocabulary(frozenset({CLS, SEP}), frozenset(range(50, 60)))
FRAME = (CLS, None, SEP)


def single(*tokens):
    return Row((list(tokens),), FRAME, ())


def many(change, row, other, count=2000):
    draw = random.Random(3)
    return [change(row, other, WORDS, draw) for _ in range(count)]


def test_swapped_tokens_come_from_the_other_row():
    row, other = single(*range(10, 30)), single(*range(70, 80))
    found = many(swap_tokens, row, other)
    for [text] in found:
        assert all(token == before or token in other.texts[0] for token, before in zip(text, row.texts[0], strict=True))
        assert text != row.texts[0]
    swapped = [sum(token >= 70 for token in text) for [text] in found]
    assert 3.8 < sum(swapped) / len(found) < 4.2  # a fifth of 20 tokens
    assert {len(text) for [text] in many(swap_tokens, single(10), other)} == {1}
    assert all(text[0] >= 70 for [text] in many(swap_tokens, single(10), other))


def test_deleted_words_are_whole_words():
    row = single(10, 50, 51, 11, 12, 52, 13)
    found = many(delete_words, row, row)
    words = [(10, 50, 51), (11,), (12, 52), (13,)]
    for [text] in found:
        kept = [tuple(word) for word in WORDS.words(text)]
        assert kept == [word for word in words if word in kept]
        assert kept
    counts = Counter(word for [text] in found for word in map(tuple, WORDS.words(text)))
    assert all(0.77 < counts[word] / len(found) < 0.83 for word in words)
    assert many(delete_words, single(10), row, 50) == [([10],)] * 50


def test_a_span_of_at_least_half_of_the_words():
    row = single(10, 50, 11, 12, 13, 14)
    for [text] in many(cut_span, row, row):
        start = row.texts[0].index(text[0])
        assert row.texts[0][start : start + len(text)] == text
        assert text[0] != 50
        assert len(WORDS.words(text)) >= 2
    assert {tuple(text) for [text] in many(cut_span, row, row)} >= {(10, 50, 11, 12, 13, 14), (12, 13, 14)}


def test_halves_of_two_rows():
    assert mix_halves(single(10, 50, 11, 12), single(20, 21, 22, 23), WORDS, random.Random(0)) == (
        [10, 50, 11, 22, 23],
    )
    pair, other = (Row(([a], [b]), (CLS, None, SEP, None, SEP), ()) for a, b in ((10, 11), (20, 21)))
    assert mix_halves(pair, other, WORDS, random.Random(0)) == ([10], [21])


def test_masked_words_are_whole_words():
    row = single(10, 50, 51, *range(11, 30), 52)
    found = many(mask_words, row, row)
    words = WORDS.words(row.texts[0])
    masked = Counter()
    for [text] in found:
        start = 0
        for number, word in enumerate(words):
            now, start = text[start : start + len(word)], start + len(word)
            assert now in (word, [MASKED] * len(word))
            masked[number] += now != word
        assert start == len(text)
        assert MASKED in text
    # 0.15, and a little more because at least one word is masked
    assert all(0.13 < masked[number] / len(found) < 0.19 for number in range(len(words)))
    assert many(mask_words, single(10, 50), row, 50) == [([MASKED, MASKED],)] * 50


@pytest.fixture
def tokenizer(tokenizer_dir):
    return load_tokenizer(str(tokenizer_dir))


def columns(tokenizer, first, second=None, max_length=64):
    rows = Rows(first, second, None, list(range(len(first))))
    tensors = tokenize_rows(rows, tokenizer, max_length)
    return TokenColumns.from_tensors({**tensors, "labels": torch.zeros(len(first), dtype=torch.int64)})


@pytest.mark.parametrize("is_pair", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_changed_rows_are_rows(tokenizer, masked_language_model, is_pair, change):
    model = {"masked_language_model": str(masked_language_model)} if change == "masked_lm" else {}
    first = ["a good and charming film", "bad", "so so", "a very good film with a plot", ""]
    second = ["dull", "a lovely story", "warm and funny", "boring", "weak"] if is_pair else None
    rows = columns(tokenizer, first, second)
    made = changed_rows(rows, 23, [change], tokenizer, 12, seed=5, **model)
    assert len(made) == 23
    assert made.fields.keys() == {"idx"}
    assert made.fields["idx"].tolist() == list(range(23))
    assert int(made.lengths.max()) <= 12
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    known = {token for row in range(len(rows)) for token in rows[row]["input_ids"]}
    if change == "masked_lm":
        known = {cls, sep, *range(len(tokenizer))} - {tokenizer.mask_token_id, tokenizer.pad_token_id}
    for place in range(23):
        row = made[place]
        ids, segments = row["input_ids"], row["token_type_ids"]
        assert set(ids) <= known
        assert (ids[0], ids[-1], ids.count(cls)) == (cls, sep, 1)
        assert ids.count(sep) == (2 if is_pair else 1)
        border = ids.index(sep) + 1
        assert segments == [0] * border + [1] * (len(ids) - border)
    same = changed_rows(rows, 23, [change], tokenizer, 12, seed=5, **model)
    assert same.token_keys() == made.token_keys()
    if change != "mix" or not is_pair:
        assert changed_rows(rows, 23, [change], tokenizer, 12, seed=6, **model).token_keys() != made.token_keys()


def test_rows_and_changes_take_turns(tokenizer):
    rows = columns(tokenizer, ["good good good good", "bad bad bad bad"])
    made = changed_rows(rows, 8, ["delete", "cut"], tokenizer, 12, seed=5)
    [good] = tokenizer("good", add_special_tokens=False)["input_ids"]
    assert [good in made[place]["input_ids"] for place in range(8)] == [True, False] * 4


def test_rows_that_are_all_empty_are_refused(tokenizer):
    with pytest.raises(ValueError, match=r"data.changed_rows: all rows to change are empty"):
        changed_rows(columns(tokenizer, ["", " "]), 3, ["swap"], tokenizer, 12, seed=5)


class Pieces:
    """A tokenizer with a vocabulary and nothing else."""

    def __init__(self, *tokens):
        self.tokens = tokens
        self.cls_token_id = self.bos_token_id = 0
        self.sep_token_id, self.eos_token_id = 1, None

    def get_vocab(self):
        return {token: number for number, token in enumerate(self.tokens)}


def test_tokens_that_continue_words():
    ends = ("<s>", "</s>")
    assert vocabulary_of(Pieces(*ends, "good", "##ness")) == (frozenset({0, 1}), frozenset({3}))
    assert vocabulary_of(Pieces(*ends, "\u0120good", "ness")) == (frozenset({0, 1}), frozenset({3}))
    assert vocabulary_of(Pieces(*ends, "\u2581good", "ness")) == (frozenset({0, 1}), frozenset({3}))
    assert vocabulary_of(Pieces(*ends, "good", "ness")) == (frozenset({0, 1}), frozenset())
