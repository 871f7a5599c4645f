"""Windows of long texts, which are those that slices of the whole text's tokens give."""

import random

import pytest

from datamodules.sample import sample_vocabulary
from datamodules.sources.source import Rows
from datamodules.tokens.columns import TokenColumns
from datamodules.tokens.tokenization import tokenize_rows
from datamodules.tokens.windows import tokenize_windows
from tests.stark.vocabulary.kinds import KINDS, sentences


def texts(count, longest):
    draw = random.Random(0)
    words = [word for word in sample_vocabulary() if word.isalpha()]
    return [" ".join(draw.choices(words, k=draw.randrange(1, longest))) for _ in range(count)]


def expected_windows(tokens, size, overlap):
    """All slices of a size that begin ``size - overlap`` tokens apart, until one reaches the end."""
    found, start = [tokens[:size]], 0
    while start + size < len(tokens):
        start += size - overlap
        found.append(tokens[start : start + size])
    return found


def grouped(rows):
    """The windows of each row, with their segment ids."""
    found = {}
    for number in range(len(rows)):
        row = rows[number]
        found.setdefault(row["idx"], []).append((row["input_ids"], row.get("token_type_ids")))
    return found


@pytest.mark.parametrize("max_length", [4, 9, 16])
def test_windows_of_single_texts(tokenizer, max_length):
    rows = Rows(texts(30, 60), None, None, list(range(30)))
    found = tokenize_windows(rows, tokenizer, max_length)
    assert found.fields["idx"][:30].tolist() == list(range(30))
    assert found.lost.sum() == 0
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    size = max_length - 2
    for row, own in grouped(found).items():
        tokens = tokenizer(rows.text_a[row], add_special_tokens=False)["input_ids"]
        wanted = expected_windows(tokens, size, size // 4)
        assert own == [([cls, *window, sep], [0] * (len(window) + 2)) for window in wanted]
    # The first windows are the truncated rows.
    plain = TokenColumns.from_tensors(tokenize_rows(rows, tokenizer, max_length))
    assert [found[row] for row in range(30)] == [plain[row] for row in range(30)]


def test_of_pairs_the_second_text_is_cut(tokenizer):
    first, second = ["the old train", "a", "the " * 9, "so"], ["so " * 40, "bad", "film " * 30, ""]
    rows = Rows(first, second, None, list(range(4)))
    found = tokenize_windows(rows, tokenizer, 16)
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    a, b = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (first[0], second[0]))
    own = grouped(found)
    assert own[0] == [
        ([cls, *a, sep, *window, sep], [0] * 5 + [1] * (len(window) + 1)) for window in expected_windows(b, 10, 3)
    ]
    # The other rows stay as they are: short ones, and one whose first text leaves too little room.
    plain = TokenColumns.from_tensors(tokenize_rows(rows, tokenizer, 16))
    assert [found[row] for row in (1, 2, 3)] == [plain[row] for row in (1, 2, 3)]
    assert [len(own[row]) for row in (1, 2, 3)] == [1, 1, 1]
    assert found.lost[:4].tolist() == [0, 0, int(plain.lost[2]), 0]
    assert plain.lost[2] > 0


@pytest.mark.parametrize("make", KINDS)
def test_tokenizers_of_every_kind(make):
    tokenizer = make()
    first, second = ["good film", "bad"], [" ".join(sentences(2, 12)), " ".join(sentences(3, 9))]
    for rows in (Rows(second, None, None, [0, 1]), Rows(first, second, None, [0, 1])):
        is_pair = rows.text_b is not None
        whole = grouped(tokenize_windows(rows, tokenizer, 500))
        special = tokenizer.num_special_tokens_to_add(pair=is_pair)
        for row, own in grouped(tokenize_windows(rows, tokenizer, 20)).items():
            ((tokens, _),) = whole[row]
            b = tokenizer(second[row], add_special_tokens=False)["input_ids"]
            end = len(tokens) - (1 if special else 0)
            before, after = tokens[: end - len(b)], tokens[end:]
            assert tokens == [*before, *b, *after]
            wanted = expected_windows(b, 20 - len(before) - len(after), (20 - special) // 4)
            assert len(own) > 1
            assert [ids for ids, _ in own] == [[*before, *window, *after] for window in wanted]


def test_short_rows_are_as_without_windows(tokenizer):
    rows = Rows(["good", "bad"], None, None, [0, 1])
    assert [tokenize_windows(rows, tokenizer, 8)[row] for row in (0, 1)] == [
        TokenColumns.from_tensors(tokenize_rows(rows, tokenizer, 8))[row] for row in (0, 1)
    ]
