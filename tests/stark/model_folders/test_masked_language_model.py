"""Masked language models that are loaded, and models that are none."""

import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForMaskedLM

from stark.model_folders.masked_language_model import load_masked_language_model
from tests.tasks import save_masked_language_model
from tests.tiny import FAMILIES, FURTHER


@pytest.mark.parametrize("family", FAMILIES)
def test_the_whole_model_is_loaded(family, tmp_path, capfd):
    sizes = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    if family == "distilbert":
        sizes = {"vocab_size": 50, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    sizes |= FURTHER.get(family, {}) | {"pad_token_id": 0, "max_position_embeddings": 512}
    model = AutoModelForMaskedLM.from_config(AutoConfig.for_model(family, **sizes)).eval()
    model.save_pretrained(tmp_path)
    ids = torch.arange(5, 15)[None]
    capfd.readouterr()
    with torch.no_grad():
        assert torch.equal(load_masked_language_model(tmp_path)(ids).logits, model(ids).logits)
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def folder(tiny_task, tmp_path):
    return save_masked_language_model(tmp_path / "model", tiny_task.encoder)


def test_an_encoder_and_a_classifier_are_none(tiny_task):
    for path in (tiny_task.encoder, tiny_task.teacher):
        message = f"^cannot load {path}: it is no masked language model: 6 weights are missing, such as cls.predictions"
        with pytest.raises(ValueError, match=message):
            load_masked_language_model(path)


def test_damaged_models_are_refused_in_one_line(folder):
    weights = load_file(folder / "model.safetensors")
    name = "bert.encoder.layer.1.output.dense.weight"

    def refused(changed, message):
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(ValueError, match=f"^cannot load {folder}: {message}") as error:
            load_masked_language_model(folder)
        assert "\n" not in str(error.value)

    refused({key: value for key, value in weights.items() if key != name}, f".*1 weights are missing, such as {name}")
    refused({**weights, name: torch.full_like(weights[name], math.nan)}, "1 weights are infinite or not a number")
    refused({**weights, name: torch.zeros(3, 4)}, "")
    with pytest.raises(ValueError, match="there is no such folder"):
        load_masked_language_model(folder / "none")
