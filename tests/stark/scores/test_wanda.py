"""Activation times weight norm, compared with what a unit adds to the hidden states."""

import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers
from stark.encoders.masking import unit_masks
from stark.encoders.units import UnitMasks
from stark.scores.expressiveness import Expressiveness
from stark.scores.scoring import score_units
from stark.scores.wanda import Wanda
from tests.tiny import LEAN, OWN_LAYERS, random_masks, tiny_batch, tiny_classifier


def added_by(model, batch, layer, masks):
    """What the FFN of a layer computes before its residual, under masks."""
    seen = []
    handle = encoder_layers(model)[layer].ffn_out.register_forward_hook(lambda _, __, output: seen.append(output))
    with unit_masks(model, masks), torch.no_grad():
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("family", OWN_LAYERS)
def test_a_neurons_value_is_the_norm_of_what_it_adds(family):
    model, batch = tiny_classifier(family).double(), tiny_batch(4)
    scores = score_units(model, [batch], [Wanda()])
    tokens = batch["attention_mask"].bool()
    first = torch.zeros_like(tokens).index_fill_(1, torch.tensor([0]), True)
    for layer, of in ((0, tokens), (1, first if family in LEAN else tokens)):
        ones = UnitMasks([torch.ones(4).double() for _ in range(2)], [torch.ones(64).double() for _ in range(2)])
        whole = added_by(model, batch, layer, ones)
        ones.neurons[layer][5] = 0
        difference = whole - added_by(model, batch, layer, ones)
        expected = float(torch.linalg.vector_norm(difference[of]))
        assert float(scores.neurons["wanda"][layer][5].sqrt()) == pytest.approx(expected, rel=1e-9)


def test_a_heads_value_joins_those_of_its_inputs():
    model, batch = tiny_classifier().double(), tiny_batch(4)
    layer, seen = encoder_layers(model)[0], []
    layer.attention_output.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    scores = score_units(model, [batch], [Wanda()])
    contexts, weight = seen[0][batch["attention_mask"].bool()].detach(), layer.attention_output.weight.detach()
    for head in range(4):
        columns = range(head * 8, head * 8 + 8)
        expected = sum(float(contexts[:, j].square().sum() * weight[:, j].square().sum()) for j in columns)
        assert float(scores.heads["wanda"][0][head]) == pytest.approx(expected, rel=1e-9)


def test_it_needs_no_labels_and_shares_the_forward_pass():
    model, batch = tiny_classifier().double(), tiny_batch(4)
    shrink_(model, random_masks(model, empty_heads=1, empty_neurons=0))
    passes = []
    model.register_forward_hook(lambda *_: passes.append(1))
    both = score_units(model, [batch], [Wanda(), Expressiveness()])
    assert len(passes) == 1
    alone = score_units(model, [{**batch, "labels": torch.full_like(batch["labels"], -100)}], [Wanda()])
    for first, second in zip(both.neurons["wanda"], alone.neurons["wanda"], strict=True):
        assert torch.equal(first, second)
    assert torch.equal(
        torch.cat(both.heads["expressiveness"]),
        torch.cat(score_units(model, [batch], [Expressiveness()]).heads["expressiveness"]),
    )
    assert [len(layer) for layer in both.heads["wanda"]][1] == 0
