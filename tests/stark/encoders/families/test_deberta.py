"""DeBERTa's further linears, its convolution, and what it cannot do."""

import copy

import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers
from stark.encoders.masking import unit_masks
from stark.errors import StarkError
from stark.model_folders.model_folder import load_classifier, save_classifier
from stark.refitting import refit_
from tests.tiny import logits, random_masks, tiny_batch, tiny_classifier

SHARED = {"share_att_key": True, "position_biased_input": False, "relative_attention": True}


@pytest.mark.parametrize(
    ("further", "linears"),
    [
        (SHARED | {"pos_att_type": ["p2c", "c2p"]}, 3),  # as DeBERTa-v3
        ({"relative_attention": True, "pos_att_type": ["c2p"]}, 4),
        ({"relative_attention": False}, 3),
        (SHARED | {"pos_att_type": ["p2c", "c2p"], "conv_kernel_size": 3}, 3),  # as DeBERTa-v2-xlarge
    ],
)
def test_every_form_of_attention_is_masked_cut_and_saved(further, linears, tmp_path):
    model = tiny_classifier("deberta-v2", further=further)
    assert [len(layer.into_heads) for layer in encoder_layers(model)] == [linears] * 2
    masks = random_masks(model, empty_heads=0, empty_neurons=1)
    with unit_masks(model, masks):
        masked = logits(model)
    shrink_(model, masks)
    torch.testing.assert_close(logits(model), masked, rtol=0, atol=1e-5)
    loaded = load_classifier(save_classifier(model, tmp_path / "model"))
    assert torch.equal(logits(loaded), logits(model))


def test_an_encoder_with_a_convolution_between_layers_is_not_refitted():
    dense = tiny_classifier("deberta-v2", further={"conv_kernel_size": 3})
    cut = shrink_(copy.deepcopy(dense), random_masks(dense))
    message = "cannot refit this deberta-v2 encoder: it has a part between layers 0 and 1"
    with pytest.raises(StarkError, match=message):
        refit_(cut, dense, [tiny_batch()])
