import pytest
import torch
from tokenizers.normalizers import BertNormalizer
from transformers import BertConfig, DistilBertConfig

from stark.model_folders.input_checks import check_inputs, check_tokenizer_limit, check_tokens, most_tokens
from stark.model_folders.model_folder import load_tokenizer
from stark.model_folders.model_inputs import ModelInputs
from tests.tiny import FAMILIES, tiny_classifier


@pytest.fixture
def tokenizer(tiny_task):
    return load_tokenizer(tiny_task.encoder)


@pytest.fixture
def config(tokenizer):
    return BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, type_vocab_size=2)


# Families without a table of positions, whose number of tokens is what they were trained with.
WITHOUT_TABLE = ("deberta-v2", "modernbert")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_most_tokens_are_what_the_model_takes(family):
    model = tiny_classifier(family)
    most = most_tokens(model.config)
    with torch.no_grad():
        model(torch.full((1, most), 7))
        if family in WITHOUT_TABLE:
            return
        with pytest.raises((IndexError, RuntimeError)):
            model(torch.full((1, most + 1), 7))


@pytest.mark.parametrize(
    ("length", "message"),
    [
        *((length, f"^max_length is {length} but must be at least 4$") for length in (3, 1, 0, -5)),
        (65, "^max_length is 65 but x has positions for 64 tokens: give --data.max_length 64, or less; longer rows"),
    ],
)
def test_a_length_that_the_encoder_has_no_positions_for(config, tokenizer, length, message):
    check_inputs(config, tokenizer, 64, is_pair=True, where="x")
    with pytest.raises(ValueError, match=message):
        check_inputs(config, tokenizer, length, is_pair=True, where="x")


def test_a_tokenizer_with_more_tokens_than_the_embedding(config, tokenizer):
    before = len(tokenizer)
    tokenizer.add_tokens(["[URL]"])
    with pytest.raises(ValueError, match=rf"has {before + 1} tokens but .* {before} rows: call resize_token"):
        check_inputs(config, tokenizer, 64, is_pair=False, where="x")


def test_segments_of_pairs(config, tokenizer):
    config.type_vocab_size = 1
    check_inputs(config, tokenizer, 64, is_pair=False, where="x")
    with pytest.raises(ValueError, match="gives pairs of texts 2 segment ids but the encoder has 1: write"):
        check_inputs(config, tokenizer, 64, is_pair=True, where="x")
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    check_inputs(config, tokenizer, 64, is_pair=True, where="x")


def test_a_family_without_segments_takes_any(tokenizer):
    config = DistilBertConfig(vocab_size=len(tokenizer))
    check_inputs(config, tokenizer, 64, is_pair=True, where="x")


def test_a_tokenizers_length_is_a_limit_unless_an_earlier_fit_wrote_it(config, tokenizer):
    tokenizer.model_max_length = 32
    check_tokenizer_limit(config, tokenizer, 32, "x")
    with pytest.raises(ValueError, match="max_length is 33 but the tokenizer of x takes at most 32: give --data"):
        check_tokenizer_limit(config, tokenizer, 33, "x")
    ModelInputs(32, "tokenizer", ("text",), "classification", True, "mine").write_(config)
    check_tokenizer_limit(config, tokenizer, 33, "x")


def test_tokenizers_that_read_texts_differently(tiny_task, tokenizer):
    other = load_tokenizer(tiny_task.encoder)
    check_tokens(other, tokenizer, is_pair=True)
    other.backend_tokenizer.normalizer = BertNormalizer(lowercase=False)
    with pytest.raises(ValueError, match=r"student's tokenizer lower-cases texts, the teacher's keeps their case"):
        check_tokens(other, tokenizer)
    other.backend_tokenizer.normalizer = BertNormalizer(lowercase=True, handle_chinese_chars=False)
    with pytest.raises(ValueError, match="their tokenizers give other tokens for '日本語"):
        check_tokens(other, tokenizer)


def test_tokenizers_that_read_pairs_differently(tiny_task, tokenizer):
    other = load_tokenizer(tiny_task.encoder)
    other.model_input_names = ["input_ids", "attention_mask"]
    check_tokens(other, tokenizer)
    with pytest.raises(ValueError, match="other segment ids"):
        check_tokens(other, tokenizer, is_pair=True)
