"""Masks on heads and neurons, and their gradients."""

import pytest
import torch

from stark.encoders.cutting import shrink_
from stark.encoders.masking import unit_masks
from stark.encoders.units import UnitMasks
from stark.forward.classifying import classify
from tests.tiny import FAMILIES, SDPA, logits, ones, random_masks, tiny_batch, tiny_classifier


def halves(masks):
    """Masks of heads, followed by as many masks of neurons."""
    return UnitMasks(masks[: len(masks) // 2], masks[len(masks) // 2 :])


@pytest.mark.parametrize("family", FAMILIES)
def test_mask_gradients_are_those_of_a_difference_quotient(family):
    model = tiny_classifier(family).double()
    heads, neurons = ([mask.double().requires_grad_() for mask in masks] for masks in ones(model))

    batch = tiny_batch()

    def loss():
        with unit_masks(model, UnitMasks(heads, neurons)):
            return torch.nn.functional.cross_entropy(classify(model, batch), batch["labels"])

    gradients = torch.autograd.grad(loss(), [*heads, *neurons])
    for mask, gradient in zip([*heads, *neurons], gradients, strict=True):
        with torch.no_grad():
            mask[1] += 1e-5
            above = loss()
            mask[1] -= 2e-5
            below = loss()
            mask[1] += 1e-5
        # ModernBERT rotates queries and keys in float32.
        rtol = 1e-2 if family == "modernbert" else 1e-5
        torch.testing.assert_close((above - below) / 2e-5, gradient[1], rtol=rtol, atol=1e-8)


@pytest.mark.parametrize("family", SDPA)
def test_mask_gradients_are_equal_under_sdpa_and_eager(family):
    gradients = {}
    for attention in ("sdpa", "eager"):
        # Other numbers than float32 are turned into it by ModernBERT's eager attention.
        dtype, tolerance = (torch.float32, 1e-6) if family == "modernbert" else (torch.float64, 1e-12)
        model = tiny_classifier(family).to(dtype)
        model.set_attn_implementation(attention)
        masks = [mask.to(dtype).requires_grad_() for masks in ones(model) for mask in masks]
        with unit_masks(model, halves(masks)):
            gradients[attention] = torch.autograd.grad(model(**tiny_batch()).loss, masks)
    for sdpa, eager in zip(gradients["sdpa"], gradients["eager"], strict=True):
        torch.testing.assert_close(sdpa, eager, rtol=0, atol=tolerance)
        assert sdpa.abs().max() > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_of_masks_per_example_add_up(family):
    model, batch = tiny_classifier(family).double(), tiny_batch(4)
    shared = [mask.double().requires_grad_() for masks in ones(model) for mask in masks]
    single = [torch.ones(4, len(mask)).double().requires_grad_() for mask in shared]
    with unit_masks(model, halves(shared)):
        expected = torch.autograd.grad(model(**batch).loss, shared)
    with unit_masks(model, halves(single)):
        per_example = torch.autograd.grad(model(**batch).loss, single)
    for one, many in zip(expected, per_example, strict=True):
        torch.testing.assert_close(many.sum(0), one, rtol=0, atol=1e-12)
    # An example's gradient in a batch is its gradient alone, times its weight in the mean.
    with unit_masks(model, halves(shared)):
        alone = torch.autograd.grad(model(**{k: v[2:3] for k, v in batch.items()}).loss / 4, shared)
    for one, many in zip(alone, per_example, strict=True):
        torch.testing.assert_close(many[2], one, rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_masks_under_chunking_and_bfloat16(family):
    model = tiny_classifier(family)
    masks = random_masks(model)
    with unit_masks(model, masks):
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
    with unit_masks(half, halves(soft)):
        gradients = torch.autograd.grad(half(**tiny_batch()).loss, soft)
    assert {gradient.dtype for gradient in gradients} == {torch.float32}


def test_masks_are_gone_afterwards_even_after_an_error():
    model = tiny_classifier()
    before = logits(model)
    with pytest.raises(RuntimeError, match="inside"), unit_masks(model, random_masks(model)):
        raise RuntimeError("inside")
    assert torch.equal(logits(model), before)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_masks_of_a_shrunk_model():
    model = tiny_classifier().double()
    shrink_(model, random_masks(model, empty_heads=0))
    masks = random_masks(model, seed=5)
    assert masks[0][0].shape == (0,)
    with unit_masks(model, masks):
        masked = logits(model)
    torch.testing.assert_close(logits(shrink_(model, masks)), masked, rtol=0, atol=1e-12)


def test_bad_masks_are_refused():
    model = tiny_classifier()
    heads, neurons = ones(model)
    for use in (shrink_, lambda *args: unit_masks(*args).__enter__()):
        with pytest.raises(ValueError, match="1 head masks for 2 layers"):
            use(model, UnitMasks(heads[:1], neurons))
        with pytest.raises(ValueError, match=r"neuron mask of layer 1 has shape \(3,\), not \(64,\)"):
            use(model, UnitMasks(heads, [neurons[0], torch.ones(3)]))
