import pytest
import torch
from torch import nn

from pipeline.deploy.export.graph_form import graph_form, int8_weights_
from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers
from tests.tiny import FAMILIES, random_masks, tiny_batch, tiny_classifier


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_stay_and_no_matrix_without_inputs_is_left(family):
    model = tiny_classifier(family)
    shrink_(model, random_masks(model, empty_heads=0, empty_neurons=len(encoder_layers(model)) - 1))

    def without_inputs(made):
        return [
            name for name, module in made.named_modules() if isinstance(module, nn.Linear) and not module.in_features
        ]

    assert len(without_inputs(model)) == 2
    made = graph_form(model)
    assert without_inputs(made) == []
    with torch.no_grad():
        assert torch.equal(made(**tiny_batch()).logits, model(**tiny_batch()).logits)
    assert len(without_inputs(model)) == 2  # the model itself is unchanged


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_of_8_bits_are_off_by_half_a_step(family):
    model = tiny_classifier(family)
    shrink_(model, random_masks(model, empty_heads=0, empty_neurons=1))
    made = int8_weights_(graph_form(model))
    assert not any(isinstance(module, (nn.Linear, nn.Embedding)) for module in made.modules())
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Embedding)) and module.weight.numel():
            found, weight = made.get_submodule(name), module.weight.detach()
            step = weight.abs().amax(1, keepdim=True) / 127
            assert found.table.dtype == torch.int8
            assert ((found.table * found.scale[:, None] - weight).abs() <= 0.5001 * step).all()
    with torch.no_grad():
        expected, said = model(**tiny_batch()).logits, made(**tiny_batch()).logits
    torch.testing.assert_close(said, expected, atol=0.1, rtol=0)
    assert not torch.equal(said, expected)
