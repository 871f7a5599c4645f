import copy
import pickle

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from lightning_modules.encoders import (
    ADAPTERS,
    count_parameters,
    drop_layers_,
    encoder_layers,
    find_adapter,
    kept_units,
    shrink_,
    shrink_to_,
    unit_masks,
)
from tests.tiny import FAMILIES, random_masks, tiny_batch, tiny_classifier

NONE = -1
EMPTY = [(NONE, NONE), (0, NONE), (NONE, 1), (1, 0), (1, 1)]


def logits(model, batch=None):
    with torch.no_grad():
        return model(**(batch or tiny_batch())).logits


def ones(model):
    layers = encoder_layers(model)
    return [torch.ones(layer.num_heads) for layer in layers], [torch.ones(layer.num_neurons) for layer in layers]


def test_every_family_is_tested():
    assert set(FAMILIES) == set(ADAPTERS)


@pytest.mark.parametrize(("empty_heads", "empty_neurons"), EMPTY)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_masked_equals_shrunk(family, empty_heads, empty_neurons, dtype, tolerance):
    model = tiny_classifier(family).to(dtype)
    masks = random_masks(model, empty_heads=empty_heads, empty_neurons=empty_neurons)
    with unit_masks(model, *masks):
        masked = logits(model)
    assert (masked - logits(model)).abs().max() > 0.01
    total, encoder = count_parameters(model)
    shrink_(model, *masks)
    torch.testing.assert_close(logits(model), masked, rtol=0, atol=tolerance)
    assert [layer.num_heads for layer in encoder_layers(model)] == [int(mask.sum()) for mask in masks[0]]
    assert [layer.num_neurons for layer in encoder_layers(model)] == [int(mask.sum()) for mask in masks[1]]
    # Each head has three projections with biases and one without, each neuron one of each.
    removed = sum(int((~m).sum()) * 8 * (4 * 32 + 3) for m in masks[0])
    removed += sum(int((~m).sum()) * (2 * 32 + 1) for m in masks[1])
    assert count_parameters(model) == (total - removed, encoder - removed)


@pytest.mark.parametrize("family", FAMILIES)
def test_shrunk_model_says_what_it_is(family):
    model = tiny_classifier(family)
    masks = random_masks(model, empty_heads=1)
    original = copy.deepcopy(model.config)
    assert shrink_(model, *masks) is model
    assert model.config.model_type == f"stark-{family}"
    assert type(model).__name__.startswith("Stark")
    for name in ("num_attention_heads", "num_hidden_layers", "hidden_size"):
        assert getattr(model.config, name) == getattr(original, name)
    assert [len(heads) for heads in kept_units(model).heads] == [int(mask.sum()) for mask in masks[0]]
    assert find_adapter(model) is ADAPTERS[family]
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(logits(again), logits(model))


@pytest.mark.parametrize("family", FAMILIES)
def test_shrinking_twice_is_shrinking_once(family):
    model = tiny_classifier(family).double()
    at_once = copy.deepcopy(model)
    shrink_(model, *random_masks(model, keep=0.8, seed=1))
    shrink_(model, *random_masks(model, keep=0.6, seed=2, empty_heads=0))
    shrink_(model, *random_masks(model, keep=0.6, seed=3, empty_neurons=1))
    shrink_to_(at_once, kept_units(model))
    assert kept_units(at_once) == kept_units(model)
    assert model.config.to_dict() == at_once.config.to_dict()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, at_once.state_dict()[name]), name
    torch.testing.assert_close(logits(at_once), logits(model), rtol=0, atol=1e-12)


def test_removing_nothing_leaves_a_plain_model():
    model = tiny_classifier()
    weights = [*model.parameters()]
    shrink_(model, *ones(model))
    assert type(model) is BertForSequenceClassification
    assert all(a is b for a, b in zip(weights, model.parameters(), strict=True))


def test_shrinking_leaves_other_models_dtypes_and_frozen_weights_alone():
    config = BertConfig(vocab_size=120, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=8)
    teacher, student = (BertForSequenceClassification(config).bfloat16() for _ in range(2))
    encoder_layers(student)[0].query.requires_grad_(False)
    shrink_(student, *random_masks(student))
    assert teacher.config.model_type == config.model_type == "bert"
    assert encoder_layers(teacher)[0].num_heads == 4
    layer = encoder_layers(student)[0]
    assert layer.query.weight.dtype == torch.bfloat16
    assert not layer.query.weight.requires_grad
    assert not layer.query.bias.requires_grad
    assert layer.key.weight.requires_grad
    assert layer.key.weight.is_leaf


@pytest.mark.parametrize("family", FAMILIES)
def test_training_a_shrunk_model_reaches_every_parameter(family):
    model = tiny_classifier(family).train()
    shrink_(model, *random_masks(model, empty_heads=0, empty_neurons=1))
    model(**tiny_batch()).loss.backward()
    # Distributed training waits for all of them. RoBERTa's classifier and BERT's pooler included.
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_kernels_never_see_zero_heads(family, monkeypatch):
    heads = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(query, *args, **kwargs):
        heads.append(query.shape[1])
        return attend(query, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    model = tiny_classifier(family)
    shrink_(model, [torch.tensor([1, 0, 1, 0]), torch.zeros(4)], ones(model)[1])
    logits(model)
    assert heads == [2]


@pytest.mark.parametrize("family", FAMILIES)
def test_mask_gradients_are_those_of_a_difference_quotient(family):
    model = tiny_classifier(family).double()
    heads, neurons = ([mask.double().requires_grad_() for mask in masks] for masks in ones(model))

    def loss():
        with unit_masks(model, heads, neurons):
            return model(**tiny_batch()).loss

    gradients = torch.autograd.grad(loss(), [*heads, *neurons])
    for mask, gradient in zip([*heads, *neurons], gradients, strict=True):
        with torch.no_grad():
            mask[1] += 1e-5
            above = loss()
            mask[1] -= 2e-5
            below = loss()
            mask[1] += 1e-5
        torch.testing.assert_close((above - below) / 2e-5, gradient[1], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_mask_gradients_are_equal_under_sdpa_and_eager(family):
    gradients = {}
    for attention in ("sdpa", "eager"):
        model = tiny_classifier(family).double()
        model.set_attn_implementation(attention)
        masks = [mask.double().requires_grad_() for masks in ones(model) for mask in masks]
        with unit_masks(model, masks[:2], masks[2:]):
            gradients[attention] = torch.autograd.grad(model(**tiny_batch()).loss, masks)
    for sdpa, eager in zip(gradients["sdpa"], gradients["eager"], strict=True):
        torch.testing.assert_close(sdpa, eager, rtol=0, atol=1e-12)
        assert sdpa.abs().max() > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_of_masks_per_example_add_up(family):
    model, batch = tiny_classifier(family).double(), tiny_batch(4)
    shared = [mask.double().requires_grad_() for masks in ones(model) for mask in masks]
    single = [torch.ones(4, len(mask)).double().requires_grad_() for mask in shared]
    with unit_masks(model, shared[:2], shared[2:]):
        expected = torch.autograd.grad(model(**batch).loss, shared)
    with unit_masks(model, single[:2], single[2:]):
        per_example = torch.autograd.grad(model(**batch).loss, single)
    for one, many in zip(expected, per_example, strict=True):
        torch.testing.assert_close(many.sum(0), one, rtol=0, atol=1e-12)
    # An example's gradient is that of the example alone, at the weight that the mean gives it.
    with unit_masks(model, shared[:2], shared[2:]):
        alone = torch.autograd.grad(model(**{k: v[2:3] for k, v in batch.items()}).loss / 4, shared)
    for one, many in zip(alone, per_example, strict=True):
        torch.testing.assert_close(many[2], one, rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_masks_under_chunking_and_bfloat16(family):
    model = tiny_classifier(family)
    masks = random_masks(model)
    with unit_masks(model, *masks):
        expected = logits(model)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = logits(model)
        for module in model.modules():
            if hasattr(module, "chunk_size_feed_forward"):
                module.chunk_size_feed_forward = 5
        torch.testing.assert_close(logits(model), expected)
    torch.testing.assert_close(rough.float(), expected, rtol=0, atol=0.3)
    half = model.bfloat16()
    soft = [mask.float().requires_grad_() for pair in masks for mask in pair]
    with unit_masks(half, soft[:2], soft[2:]):
        gradients = torch.autograd.grad(half(**tiny_batch()).loss, soft)
    assert {gradient.dtype for gradient in gradients} == {torch.float32}


def test_masks_are_gone_afterwards_even_after_an_error():
    model = tiny_classifier()
    before = logits(model)
    with pytest.raises(RuntimeError, match="inside"), unit_masks(model, *random_masks(model)):
        raise RuntimeError("inside")
    assert torch.equal(logits(model), before)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_masks_of_a_shrunk_model():
    model = tiny_classifier().double()
    shrink_(model, *random_masks(model, empty_heads=0))
    masks = random_masks(model, seed=5)
    assert masks[0][0].shape == (0,)
    with unit_masks(model, *masks):
        masked = logits(model)
    torch.testing.assert_close(logits(shrink_(model, *masks)), masked, rtol=0, atol=1e-12)


def test_bad_masks_are_refused():
    model = tiny_classifier()
    heads, neurons = ones(model)
    for use in (shrink_, lambda *args: unit_masks(*args).__enter__()):
        with pytest.raises(ValueError, match="1 head masks for 2 layers"):
            use(model, heads[:1], neurons)
        with pytest.raises(ValueError, match=r"neuron mask of layer 1 has shape \(3,\), not \(64,\)"):
            use(model, heads, [neurons[0], torch.ones(3)])


def test_unknown_family_is_refused():
    model = tiny_classifier()
    model.config.model_type = "t5"
    message = r"no adapter for model type 't5': one of bert, .* is supported \(lightning_modules/encoders.py\)"
    with pytest.raises(ValueError, match=message):
        encoder_layers(model)


@pytest.mark.parametrize("shrunk", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_dropping_layers_equals_skipping_them(family, shrunk):
    model = tiny_classifier(family, layers=4).double()
    if shrunk:
        shrink_(model, *random_masks(model))
    skipped = copy.deepcopy(model)
    for number in (0, 2):
        skip = encoder_layers(skipped)[number].module
        skip.forward = lambda hidden_states, *args, **kwargs: hidden_states
    model_type, units = model.config.model_type, kept_units(model)
    drop_layers_(model, [1, 3])
    assert torch.equal(logits(model), logits(skipped))
    assert model.config.num_hidden_layers == len(encoder_layers(model)) == 2
    assert model.config.model_type == model_type
    assert kept_units(model) == units.of_layers([1, 3])
    assert [m.layer_idx for m in model.modules() if hasattr(m, "layer_idx") and m.layer_idx is not None] in ([], [0, 1])


@pytest.mark.parametrize("keep", [[], [1, 0], [0, 0], [-1], [2]])
def test_bad_layers_to_keep_are_refused(keep):
    with pytest.raises(ValueError, match="ascending numbers below 2"):
        drop_layers_(tiny_classifier(), keep)
