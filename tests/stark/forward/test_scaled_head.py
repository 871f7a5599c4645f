"""A head that is trained in another unit."""

import copy

import pytest
import torch
from torch import nn

from stark.errors import StarkError
from stark.forward.scaled_head import ScaledHead, plain_head_, scale_head_
from tests.tiny import FAMILIES, logits, tiny_batch, tiny_classifier


def scaled(family="bert", unit=32.0, start=50.0):
    model = tiny_classifier(family, num_labels=1)
    other = copy.deepcopy(model)
    scale_head_(other, unit, start)
    return model, other


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("unit", [32.0, 0.0078125])
def test_a_trained_head_keeps_its_output_and_its_bits(family, unit):
    model, other = scaled(family, unit)
    torch.testing.assert_close(logits(other), logits(model))
    state, found = model.state_dict(), other.state_dict()
    assert list(found) == list(state)
    assert all(torch.equal(found[name], state[name]) for name in state)
    other.load_state_dict(state)
    again = other.state_dict()
    assert all(torch.equal(again[name], state[name]) for name in state)
    plain_head_(other)
    assert not any(isinstance(module, ScaledHead) for module in other.modules())
    assert torch.equal(logits(other), logits(model))


def test_a_new_head_starts_at_the_mean_with_weights_in_the_unit():
    model = tiny_classifier(num_labels=1)
    nn.init.zeros_(model.classifier.bias)
    weight = model.classifier.weight.detach().clone()
    before = logits(model)
    scale_head_(model, 32.0, 50.0)
    torch.testing.assert_close(logits(model), 32 * before + 50)
    assert torch.equal(model.classifier.weight, weight)


def test_each_logit_of_a_new_head_may_start_elsewhere():
    model = tiny_classifier(num_labels=3)
    nn.init.zeros_(model.classifier.bias)
    before, start = logits(model), (-3.0, 0.5, -2.0)
    scale_head_(model, 1.0, start)
    torch.testing.assert_close(logits(model), before + torch.tensor(start))
    nn.init.ones_((trained := tiny_classifier(num_labels=3)).classifier.bias)
    expected = logits(trained)
    scale_head_(trained, 1.0, start)
    assert torch.equal(logits(trained), expected)


def test_its_gradients_are_those_of_the_standardised_head():
    model, other = scaled()
    batch = tiny_batch()
    (model(**batch).logits * 1.5).sum().backward()
    (other(**batch).logits * 1.5).sum().backward()
    torch.testing.assert_close(other.classifier.weight.grad, 32 * model.classifier.weight.grad)
    torch.testing.assert_close(other.classifier.bias.grad, 32 * model.classifier.bias.grad)


def test_in_bfloat16_a_far_mean_keeps_the_differences_of_rows():
    model = tiny_classifier(num_labels=1)
    nn.init.zeros_(model.classifier.bias)
    expected = 4 * logits(model).flatten() + 2000
    scale_head_(model, 4.0, 2000.0)
    with torch.autocast("cpu", torch.bfloat16):
        found = logits(model).flatten()
    torch.testing.assert_close(found, expected, rtol=0, atol=0.3)
    assert found.dtype == torch.float32


def test_a_head_without_a_last_linear_is_refused():
    model = tiny_classifier(num_labels=1)
    model.classifier = nn.Identity()
    with pytest.raises(StarkError, match="divide them"):
        scale_head_(model, 32.0, 50.0)
