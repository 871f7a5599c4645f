"""MPNet's attention with some of its heads, compared with a plain computation."""

import copy
import pickle

import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers
from stark.encoders.units import UnitMasks
from tests.tiny import logits, ones, tiny_classifier


def test_each_head_that_is_left_keeps_its_own_bias():
    model = tiny_classifier("mpnet").double()
    attention = encoder_layers(model)[0].module.attention.attn
    torch.manual_seed(0)
    hidden, bias = torch.randn(2, 5, 32).double(), torch.randn(2, 4, 5, 5).double()
    shrink_(model, UnitMasks([torch.tensor([0, 1, 1, 1]), torch.ones(4)], ones(model)[1]))
    shrink_(model, UnitMasks([torch.tensor([1, 0, 1]), torch.ones(4)], ones(model)[1]))
    parts = [linear(hidden).unflatten(-1, (2, 8)).transpose(1, 2) for linear in (attention.q, attention.k, attention.v)]
    scores = parts[0] @ parts[1].mT / 8**0.5 + bias[:, [1, 3]]
    expected = attention.o((scores.softmax(-1) @ parts[2]).transpose(1, 2).flatten(2))
    for found in (attention, copy.deepcopy(attention), pickle.loads(pickle.dumps(attention))):
        torch.testing.assert_close(found(hidden, None, bias)[0], expected)
    assert model.base_model.encoder.relative_attention_bias.weight.shape == (32, 4)


@pytest.mark.parametrize("heads", [(0,), (3,)])
def test_the_bias_matters(heads):
    """With the bias of another head the logits would be others."""
    model = tiny_classifier("mpnet")
    shrink_(model, UnitMasks([torch.isin(torch.arange(4), torch.tensor(heads))] * 2, ones(model)[1]))
    before = logits(model)
    with torch.no_grad():
        model.base_model.encoder.relative_attention_bias.weight[:, heads[0]] += torch.randn(32)
    assert (logits(model) - before).abs().max() > 1e-3
