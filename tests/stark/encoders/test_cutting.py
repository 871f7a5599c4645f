"""Removing heads and neurons gives the same output as masking them."""

import copy
import pickle

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from stark.encoders.cutting import shrink_, shrink_to_
from stark.encoders.families.table import FAMILIES as SUPPORTED
from stark.encoders.families.table import family_of
from stark.encoders.layers import count_parameters, encoder_layers, kept_units
from stark.encoders.masking import unit_masks
from stark.encoders.units import UnitMasks
from stark.forward.classifying import classify
from stark.forward.lean_training import cheap_dropout_
from tests.tiny import FAMILIES, SDPA, logits, ones, random_masks, tiny_batch, tiny_classifier

NONE = -1
# A row of a head has three projections with a bias and one without, a neuron has one of each. These families differ.
HEAD_PARAMETERS = {"deberta-v2": 6 * 32 + 5, "modernbert": 4 * 32}
NEURON_PARAMETERS = {"modernbert": 3 * 32}
EMPTY = [(NONE, NONE), (0, NONE), (NONE, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize(("empty_heads", "empty_neurons"), EMPTY)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_masked_equals_shrunk(family, empty_heads, empty_neurons, dtype, tolerance):
    model = tiny_classifier(family).to(dtype)
    masks = random_masks(model, empty_heads=empty_heads, empty_neurons=empty_neurons)
    with unit_masks(model, masks):
        masked = logits(model)
    assert (masked - logits(model)).abs().max() > 0.01
    total, encoder = count_parameters(model)
    shrink_(model, masks)
    torch.testing.assert_close(logits(model), masked, rtol=0, atol=tolerance)
    assert [layer.num_heads for layer in encoder_layers(model)] == [int(mask.sum()) for mask in masks[0]]
    assert [layer.num_neurons for layer in encoder_layers(model)] == [int(mask.sum()) for mask in masks[1]]
    removed = sum(int((~m).sum()) * 8 * HEAD_PARAMETERS.get(family, 4 * 32 + 3) for m in masks[0])
    removed += sum(int((~m).sum()) * NEURON_PARAMETERS.get(family, 2 * 32 + 1) for m in masks[1])
    assert count_parameters(model) == (total - removed, encoder - removed)


@pytest.mark.parametrize("family", FAMILIES)
def test_shrunk_model_says_what_it_is(family):
    model = tiny_classifier(family)
    masks = random_masks(model, empty_heads=1)
    original = copy.deepcopy(model.config)
    assert shrink_(model, masks) is model
    assert model.config.model_type == f"stark-{family}"
    assert type(model).__name__.startswith("Stark")
    for name in ("num_attention_heads", "num_hidden_layers", "hidden_size"):
        assert getattr(model.config, name) == getattr(original, name)
    assert [len(heads) for heads in kept_units(model).heads] == [int(mask.sum()) for mask in masks[0]]
    assert family_of(model) is SUPPORTED[family]
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(logits(again), logits(model))


@pytest.mark.parametrize("family", FAMILIES)
def test_shrinking_twice_is_shrinking_once(family):
    model = tiny_classifier(family).double()
    at_once = copy.deepcopy(model)
    shrink_(model, random_masks(model, keep=0.8, seed=1))
    shrink_(model, random_masks(model, keep=0.6, seed=2, empty_heads=1))  # the last layer computes one token only
    shrink_(model, random_masks(model, keep=0.6, seed=3, empty_neurons=0))
    shrink_to_(at_once, kept_units(model))
    assert kept_units(at_once) == kept_units(model)
    assert model.config.to_dict() == at_once.config.to_dict()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, at_once.state_dict()[name]), name
    torch.testing.assert_close(logits(at_once), logits(model), rtol=0, atol=1e-12)
    # Training draws the same random numbers, although a layer without heads was cut once more.
    trained = []
    for shrunk in (at_once, model):
        cheap_dropout_(shrunk)
        torch.manual_seed(0)
        trained.append((classify(shrunk.train(), tiny_batch()), torch.get_rng_state()))
    assert torch.equal(trained[0][1], trained[1][1])
    torch.testing.assert_close(trained[0][0], trained[1][0], rtol=0, atol=1e-12)


def test_removing_nothing_leaves_a_plain_model():
    model = tiny_classifier()
    weights = [*model.parameters()]
    shrink_(model, ones(model))
    assert type(model) is BertForSequenceClassification
    assert all(a is b for a, b in zip(weights, model.parameters(), strict=True))


def test_shrinking_leaves_other_models_dtypes_and_frozen_weights_alone():
    config = BertConfig(vocab_size=120, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=8)
    teacher, student = (BertForSequenceClassification(config).bfloat16() for _ in range(2))
    encoder_layers(student)[0].into_heads[0].linear.requires_grad_(False)
    shrink_(student, random_masks(student))
    assert teacher.config.model_type == config.model_type == "bert"
    assert encoder_layers(teacher)[0].num_heads == 4
    query, key, _ = encoder_layers(student)[0].query_key_value_linears()
    assert query.weight.dtype == torch.bfloat16
    assert not query.weight.requires_grad
    assert not query.bias.requires_grad
    assert key.weight.requires_grad
    assert key.weight.is_leaf


@pytest.mark.parametrize("family", FAMILIES)
def test_training_a_shrunk_model_reaches_every_parameter(family):
    model = tiny_classifier(family).train()
    shrink_(model, random_masks(model, empty_heads=0, empty_neurons=1))
    model(**tiny_batch()).loss.backward()
    # Distributed training waits for the gradients of all parameters, also RoBERTa's classifier and BERT's pooler.
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("family", SDPA)
def test_attention_kernels_never_see_zero_heads(family, monkeypatch):
    heads = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(query, *args, **kwargs):
        heads.append(query.shape[1])
        return attend(query, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    further = {"num_hidden_groups": 2} if family == "albert" else None  # so that it has two layers
    model = tiny_classifier(family, further=further)
    shrink_(model, UnitMasks([torch.tensor([1, 0, 1, 0]), torch.zeros(4)], ones(model)[1]))
    logits(model)
    assert heads == [2]
