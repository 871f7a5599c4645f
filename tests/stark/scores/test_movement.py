"""Movement, compared with the sum over the steps of gradient descent that it replaces."""

import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers
from stark.errors import StarkError
from stark.model_folders.model_folder import save_classifier
from stark.scores.movement import Movement
from tests.tiny import random_masks, tiny_batch, tiny_classifier


def test_it_is_the_sum_over_small_steps(tmp_path):
    model, batch = tiny_classifier(), tiny_batch(8)
    save_classifier(model, tmp_path / "before")
    layer, rate = encoder_layers(model)[0], 1e-3
    before = layer.into_neurons[0].linear
    total = torch.zeros(64, dtype=torch.float64)
    for _ in range(40):
        loss = model(**batch).loss
        gradients = torch.autograd.grad(loss, [before.weight, layer.ffn_out.weight])
        with torch.no_grad():
            total -= rate * (gradients[0] * before.weight).double().sum(1)
            total -= rate * (gradients[1] * layer.ffn_out.weight).double().sum(0)
            before.weight -= rate * gradients[0]
            layer.ffn_out.weight -= rate * gradients[1]
    found = Movement(str(tmp_path / "before")).values(model, None).neurons[0]
    expected = total / torch.linalg.vector_norm(total)
    assert float(torch.dot(found, expected)) > 0.999
    assert (found < 0).any()


def test_units_of_a_shrunk_model_are_compared_with_their_own(tmp_path):
    model = tiny_classifier()
    save_classifier(model, tmp_path / "before")
    states = torch.get_rng_state()
    shrink_(model, random_masks(model))
    with torch.no_grad():
        encoder_layers(model)[1].ffn_out.weight[:, 3] *= 2
    found = Movement(str(tmp_path / "before")).values(model, None)
    assert torch.equal(states, torch.get_rng_state())
    assert found.neurons[1].nonzero().flatten().tolist() == [3]
    assert float(found.neurons[0].abs().sum()) == 0


def test_another_encoder_is_refused(tmp_path):
    save_classifier(tiny_classifier(layers=3), tmp_path / "deeper")
    with pytest.raises(StarkError, match=r"Movement.before is .*deeper, whose units are not those of the model"):
        Movement(str(tmp_path / "deeper")).values(tiny_classifier(), None)
    with pytest.raises(StarkError, match="no such folder"):
        Movement(str(tmp_path / "none")).values(tiny_classifier(), None)
