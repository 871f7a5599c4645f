"""The table of families."""

import pytest
from transformers import GPT2Config, GPT2ForSequenceClassification

from stark.encoders.families.table import FAMILIES as SUPPORTED
from stark.encoders.families.table import family_of_type
from stark.errors import StarkError
from stark.model_folders.model_folder import load_classifier
from tests.tiny import CLONES, FAMILIES


def test_every_family_is_tested():
    assert {*FAMILIES, *CLONES} == set(SUPPORTED)


DECODER = ", which transformers lists as a decoder (for generating text)"
BOTH = ", which has an encoder and a decoder"


@pytest.mark.parametrize(
    ("model_type", "reason"),
    [
        *((name, DECODER) for name in ("gpt2", "llama", "qwen2", "qwen3", "mistral", "gemma3_text", "opt")),
        *((name, BOTH) for name in ("t5", "bart")),
        *((name, "") for name in ("canine", "none-such", None)),
    ],
)
def test_an_unknown_family_is_refused_and_decoders_are_told(model_type, reason):
    with pytest.raises(StarkError) as error:
        family_of_type(model_type)
    said = str(error.value)
    supported = ", ".join(SUPPORTED)
    assert said == (
        f"no family for model type '{model_type}'{reason}: choose an encoder of one of the types {supported} "
        "(docs/encoders.md)"
    )


def test_a_decoder_with_a_classification_head_is_refused_before_it_is_read(tmp_path):
    config = GPT2Config(n_layer=1, n_head=1, n_embd=8, vocab_size=10, pad_token_id=0, bos_token_id=1, eos_token_id=1)
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(
        StarkError, match=f"^cannot load {tmp_path}: no family for model type 'gpt2', which transformers lists"
    ):
        load_classifier(tmp_path)
