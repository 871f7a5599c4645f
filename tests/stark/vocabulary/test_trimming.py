"""Tokenizers and models without the tokens that are not needed."""

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from stark.encoders.cutting import shrink_
from stark.errors import StarkError
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.vocabulary.needed import needed_tokens
from stark.vocabulary.trimming import count_changed, trim_embeddings_, trim_tokenizer
from tests.stark.vocabulary.kinds import KINDS, sentences, wordpiece
from tests.tiny import FAMILIES, random_masks, tiny_batch, tiny_classifier


@pytest.mark.parametrize("make", KINDS)
def test_a_corpus_keeps_its_tokens_with_new_numbers(make, tmp_path):
    tokenizer, corpus = make(), sentences(2, 40)
    keep = needed_tokens(tokenizer, corpus)
    trimmed = trim_tokenizer(tokenizer, keep)
    assert len(trimmed) == len(keep)
    for one in (trimmed, reloaded(trimmed, tmp_path)):
        for old, new in zip(tokenizer(corpus)["input_ids"], one(corpus)["input_ids"], strict=True):
            assert [keep[number] for number in new] == old
        pair = one(corpus[0], corpus[1])["input_ids"]
        assert [keep[number] for number in pair] == tokenizer(corpus[0], corpus[1])["input_ids"]
        assert one.pad_token_id == keep.index(tokenizer.pad_token_id)
        assert one.unk_token_id == keep.index(tokenizer.unk_token_id)


def reloaded(tokenizer, folder):
    tokenizer.save_pretrained(folder)
    return load_tokenizer(folder)


@pytest.mark.parametrize("make", KINDS[:3])
def test_another_text_is_split_into_smaller_tokens(make):
    tokenizer = make()
    trimmed = trim_tokenizer(tokenizer, needed_tokens(tokenizer, ["good films"]))
    for text in sentences(3, 30):
        ids = trimmed(text, add_special_tokens=False)["input_ids"]
        assert trimmed.unk_token_id not in ids or tokenizer.unk_token_id in tokenizer(text)["input_ids"]
        assert "".join(trimmed.decode(ids).split()) == "".join(
            tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]).split()
        )


def test_the_price_of_an_unknown_character_stays():
    pieces = [("<unk>", 0.0), ("xb", -12.4), ("c", -12.4), ("bc", -1.0), ("zz", -14.0)]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.Unigram(pieces, unk_id=0)), unk_token="<unk>")
    assert tokenizer.tokenize("xbc") == ["xb", "c"]
    trimmed = trim_tokenizer(tokenizer, needed_tokens(tokenizer, ["xbc", "bc"]))
    assert trimmed.tokenize("xbc") == ["xb", "c"]


def test_texts_that_are_split_differently_are_counted():
    tokenizer = wordpiece()
    keep = needed_tokens(tokenizer, ["good films"])
    trimmed = trim_tokenizer(tokenizer, keep)
    assert count_changed(tokenizer, trimmed, keep, ["good films", "films good", "charming", "good"]) == 1


def test_the_tokenizer_itself_is_not_changed():
    tokenizer = wordpiece()
    before = tokenizer.backend_tokenizer.to_str()
    trim_tokenizer(tokenizer, needed_tokens(tokenizer, ["good films"]))
    assert tokenizer.backend_tokenizer.to_str() == before


@pytest.mark.parametrize("is_shrunk", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_the_same_bit_for_bit(family, is_shrunk, tmp_path):
    model, batch = tiny_classifier(family), tiny_batch()
    if is_shrunk:
        shrink_(model, random_masks(model))
    keep = sorted({0, 1, 2, 3, *batch["input_ids"].flatten().tolist()})
    with torch.no_grad():
        before = model(**batch).logits
    trim_embeddings_(model, keep)
    new = batch | {"input_ids": torch.searchsorted(torch.tensor(keep), batch["input_ids"])}
    save_classifier(model, tmp_path / "model")
    for one in (model, load_classifier(tmp_path / "model")):
        assert one.config.vocab_size == one.get_input_embeddings().weight.shape[0] == len(keep)
        with torch.no_grad():
            assert torch.equal(one(**new).logits, before)


def test_tokens_that_cannot_go_are_refused():
    tokenizer = wordpiece()
    with pytest.raises(StarkError, match=r"cannot remove '\[PAD\]': it is a special token"):
        trim_tokenizer(tokenizer, needed_tokens(tokenizer, ["good"])[1:])
    with pytest.raises(StarkError, match="the padding token's id 0 must not change"):
        trim_embeddings_(tiny_classifier("roberta"), [1, 2])
    with pytest.raises(StarkError, match="token 120 has no embedding, of which there are 120"):
        trim_embeddings_(tiny_classifier(), [0, 120])
