"""Which tokens are kept."""

import json

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from stark.errors import StarkError
from stark.vocabulary.needed import needed_tokens, with_frequent_tokens
from tests.stark.vocabulary.kinds import KINDS, byte_level_bpe, sentences, wordpiece


@pytest.mark.parametrize("make", KINDS)
def test_the_tokens_of_the_corpus_and_special_ones_are_kept_and_others_are_not(make):
    tokenizer = make()
    corpus = ["good films", "a charming antics 日本"]
    kept = needed_tokens(tokenizer, corpus)
    assert kept == sorted(set(kept))
    assert {number for row in tokenizer(corpus)["input_ids"] for number in row} <= set(kept)
    assert set(tokenizer.all_special_ids) <= set(kept)
    assert len(kept) < len(tokenizer)
    assert needed_tokens(tokenizer, [*corpus, *corpus]) == kept


def test_tokens_on_the_way_to_a_merged_one_are_kept():
    tokenizer = byte_level_bpe()
    kept = set(tokenizer.convert_ids_to_tokens(needed_tokens(tokenizer, ["goodness"])))
    long = max(tokenizer.tokenize("goodness"), key=len)
    assert len(long) > 2
    assert any(len(token) == 2 and token in long for token in kept)  # a first merge
    assert "Ġbadly" not in kept


def test_unused_tokens_of_a_vocabulary_go():
    tokenizer = wordpiece()
    assert tokenizer.convert_tokens_to_ids("[unused0]") not in needed_tokens(tokenizer, sentences(1))


def test_other_kinds_are_refused():
    plain = Tokenizer(models.BPE(vocab={"a": 0, "b</w>": 1}, merges=[], end_of_word_suffix="</w>"))
    with pytest.raises(StarkError, match="a BPE with a prefix or suffix of words, whose tokens cannot be removed"):
        needed_tokens(PreTrainedTokenizerFast(tokenizer_object=plain), ["ab"])


def test_frequent_tokens_are_the_first_ones_that_texts_have():
    tokenizer = wordpiece()
    keep = needed_tokens(tokenizer, ["good"])
    more = with_frequent_tokens(tokenizer, keep, len(keep) + 3)
    added = [number for number in range(len(tokenizer)) if number not in keep][:4]
    assert tokenizer.convert_ids_to_tokens(added)[0] == "[unused0]"
    assert more == sorted([*keep, *added[1:]])
    assert with_frequent_tokens(tokenizer, keep, 3) == keep
    assert len(with_frequent_tokens(tokenizer, keep, 10**6)) == len(tokenizer) - 1


def test_merges_of_frequent_tokens_are_complete():
    tokenizer = byte_level_bpe()
    keep = with_frequent_tokens(tokenizer, needed_tokens(tokenizer, ["bad"]), 300)
    kept = set(tokenizer.convert_ids_to_tokens(keep))
    merges = [merge for merge in merges_of(tokenizer) if "".join(merge) in kept]
    assert {part for merge in merges for part in merge} <= kept


def merges_of(tokenizer):
    return json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
