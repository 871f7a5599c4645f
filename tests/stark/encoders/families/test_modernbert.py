"""ModernBERT's poolings and biases, and its attention to near tokens."""

import copy

import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.encoders.layer_dropping import drop_layers
from stark.encoders.masking import unit_masks
from stark.forward.classifying import classify
from stark.model_folders.model_folder import load_classifier, save_classifier
from tests.tiny import FURTHER, logits, random_masks, tiny_batch, tiny_classifier


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("bias", [False, True])
def test_every_form_is_masked_cut_and_saved(pooling, bias, tmp_path):
    biases = dict.fromkeys(("attention_bias", "mlp_bias", "norm_bias"), bias)
    further = {**FURTHER["modernbert"], "classifier_pooling": pooling, **biases}
    model = tiny_classifier("modernbert", layers=3, further=further)
    masks = random_masks(model, empty_heads=0, empty_neurons=1)
    with unit_masks(model, masks):
        masked = logits(model)
    shrink_(model, masks)
    torch.testing.assert_close(logits(model), masked, rtol=0, atol=1e-5)
    drop_layers(model, 2, "alternate")
    loaded = load_classifier(save_classifier(model, tmp_path / "model"))
    assert loaded.config.layer_types == ["full_attention", "sliding_attention"]
    assert torch.equal(logits(loaded), logits(model))


def test_padding_and_far_tokens_are_not_seen():
    """In the local layers a token sees only three tokens to each side, also behind padding of other rows."""
    further = {**FURTHER["modernbert"], "classifier_pooling": "cls", "layer_types": ["sliding_attention"] * 2}
    model, batch = tiny_classifier("modernbert", further=further), tiny_batch()
    found = classify(model, batch)
    for row, length in enumerate(batch["attention_mask"].sum(1).tolist()):
        alone = {"input_ids": batch["input_ids"][row : row + 1, :length]}
        torch.testing.assert_close(classify(model, alone)[0], found[row], rtol=0, atol=1e-5)
    far = copy.deepcopy(batch)
    far["input_ids"][2, 7:] = 9  # two layers see six tokens
    assert torch.equal(classify(model, far)[2], found[2])
    far["input_ids"][2, 6] = 9
    assert not torch.equal(classify(model, far)[2], found[2])
