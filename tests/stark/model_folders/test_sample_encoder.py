import pytest
import torch

from stark.encoders.layers import encoder_layers
from stark.model_folders.model_folder import load_classifier, load_tokenizer, model_digest
from stark.model_folders.sample_encoder import save_sample_encoder


def test_same_seed_same_folder_and_the_random_state_is_left_alone(tmp_path):
    state = torch.get_rng_state()
    folders = [save_sample_encoder(tmp_path / str(n), ["good", "bad"], seed=n // 2) for n in range(3)]
    assert torch.equal(torch.get_rng_state(), state)
    hashes = [model_digest(folder) for folder in folders]
    assert hashes[0] == hashes[1] != hashes[2]


def test_words_are_tokens_and_others_are_spelled(tmp_path):
    folder = save_sample_encoder(tmp_path / "encoder", ["Good", "bad"], hidden_size=64)
    tokenizer = load_tokenizer(folder)
    assert tokenizer.tokenize("good BAD gab zoo") == ["good", "bad", "g", "##a", "##b", "[UNK]"]
    encoded = tokenizer("good", "bad")
    assert encoded.token_type_ids == [0, 0, 0, 1, 1]
    model = load_classifier(folder, label_names=["a", "b"])
    assert model.config.vocab_size == len(tokenizer)
    assert [(layer.num_heads, layer.num_neurons) for layer in encoder_layers(model)] == [(4, 64)] * 4


def test_hidden_size_is_checked(tmp_path):
    with pytest.raises(ValueError, match="multiple of 4, got 30"):
        save_sample_encoder(tmp_path / "encoder", ["a"], hidden_size=30)
