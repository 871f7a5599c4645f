"""The pass that scores units, compared with a loop over single examples."""

import random

import pytest
import torch
from torch.nn import functional as F

from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers
from stark.encoders.masking import unit_masks
from stark.encoders.units import UnitMasks
from stark.errors import StarkError
from stark.scores.expressiveness import Expressiveness
from stark.scores.knowledgeableness import Knowledgeableness
from stark.scores.magnitude import Magnitude
from stark.scores.random import Random
from stark.scores.score import GradientScore
from stark.scores.scoring import score_units
from tests.tiny import FAMILIES, random_masks, tiny_batch, tiny_classifier

SCORES = [Expressiveness()]


class Other(GradientScore):
    """A score whose loss is the square of the first logit."""

    def losses(self, problem, outputs, batch, distilled):
        return outputs.logits[:, 0] ** 2


class Signed(Other):
    """A score whose gradients may cancel."""

    reduction = "signed"


def rows(batch, chosen, *, padding=0):
    """Some rows of a batch, in any order, with more padding."""
    picked = {name: tensor[chosen] for name, tensor in batch.items()}
    for name in ("input_ids", "attention_mask"):
        picked[name] = F.pad(picked[name], (0, padding))
    return picked


def flat(scores, name="expressiveness"):
    return torch.cat([*scores.heads[name], *scores.neurons[name]])


def loop_of_single_examples(model, batch):
    """Score with one forward and one backward pass per example, with plain masks."""
    layers = encoder_layers(model)
    sizes = [layer.num_heads for layer in layers] + [layer.num_neurons for layer in layers]
    total = [torch.zeros(size, dtype=torch.float64) for size in sizes]
    for number in range(len(batch["labels"])):
        example = {name: tensor[number : number + 1] for name, tensor in batch.items()}
        masks = [torch.ones(size, dtype=model.dtype, requires_grad=True) for size in sizes]
        with unit_masks(model, UnitMasks(masks[: len(layers)], masks[len(layers) :])):
            logits = model(input_ids=example["input_ids"], attention_mask=example["attention_mask"]).logits
        if model.config.num_labels == 1:
            loss = (logits[0, 0] - example["labels"][0]) ** 2
        else:
            loss = -logits.log_softmax(-1)[0, example["labels"][0]]
        loss.backward()
        total = [score + mask.grad.double().abs() for score, mask in zip(total, masks, strict=True)]
    return torch.cat(total)


@pytest.mark.parametrize("num_labels", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_single_examples(family, num_labels):
    model = tiny_classifier(family, num_labels=num_labels).double()
    batch = tiny_batch(5, num_labels=num_labels)
    expected = loop_of_single_examples(model, batch)
    assert expected.min() > 0
    torch.testing.assert_close(flat(score_units(model, [batch], SCORES)), expected, rtol=1e-11, atol=1e-12)


def test_scores_do_not_depend_on_batch_size_order_and_padding():
    model, batch = tiny_classifier().double(), tiny_batch(12)
    together = flat(score_units(model, [batch], SCORES))
    shuffled = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    for size in (1, 5, 12):
        batches = [rows(batch, chosen, padding=size) for chosen in shuffled.split(size)]
        torch.testing.assert_close(flat(score_units(model, batches, SCORES)), together, rtol=0, atol=1e-12)


def test_scores_with_the_released_reduction_do_depend_on_batch_size():
    model, batch = tiny_classifier().double(), tiny_batch(12)
    together, halves = (
        flat(score_units(model, [rows(batch, c) for c in torch.arange(12).split(size)], SCORES, reduction="batch"))
        for size in (12, 6)
    )
    assert (together - halves / 2).abs().max() > 1e-3


def test_scores_of_an_unevenly_shrunk_model_are_those_of_single_examples():
    model = tiny_classifier(layers=3).double()
    shrink_(model, random_masks(model, empty_heads=1, empty_neurons=2))
    scores = score_units(model, [tiny_batch(4)], SCORES)
    assert [len(score) for score in scores.heads["expressiveness"]] == [
        layer.num_heads for layer in encoder_layers(model)
    ]
    expected = loop_of_single_examples(model, tiny_batch(4))
    torch.testing.assert_close(flat(scores), expected, rtol=1e-11, atol=1e-12)


def test_several_scores_share_a_forward_pass_and_nothing_else():
    model, batch = tiny_classifier().double(), tiny_batch(4)
    passes = []
    model.register_forward_hook(lambda *_: passes.append(1))
    both = score_units(model, [batch], [*SCORES, Other(), Signed(), Expressiveness()])
    assert len(passes) == 1
    assert list(both.heads) == ["expressiveness", "other", "signed"]
    for score in (*SCORES, Other(), Signed()):
        assert torch.equal(flat(both, score.name), flat(score_units(model, [batch], [score]), score.name))


def test_no_batch_is_read_for_scores_of_weights():
    def batches():
        raise AssertionError
        yield

    assert score_units(tiny_classifier(), batches(), [Magnitude(), Random()]).heads == {}


def test_what_cannot_be_scored_is_refused():
    class Expressiveness(Other):
        """Another score of the same name."""

    model = tiny_classifier()
    with pytest.raises(StarkError, match="two scores are called expressiveness"):
        score_units(model, [tiny_batch()], [*SCORES, Expressiveness()])
    with pytest.raises(StarkError, match="Knowledgeableness compares with a distilled student"):
        score_units(model, [tiny_batch()], [Knowledgeableness()])


@pytest.mark.parametrize("training", [True, False])
def test_scoring_leaves_no_trace(training):
    model = tiny_classifier().train(training)
    model.classifier.requires_grad_(False)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    learning = [parameter.requires_grad for parameter in model.parameters()]
    states = torch.get_rng_state(), random.getstate()
    with torch.no_grad():  # as in some hooks of Lightning
        score_units(model, [tiny_batch()], SCORES)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert all(module.training == training for module in model.modules())
    assert [parameter.requires_grad for parameter in model.parameters()] == learning
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(linear._forward_pre_hooks for linear in model.modules() if isinstance(linear, torch.nn.Linear))


def test_a_loss_that_fails_leaves_no_trace_either():
    class Fails(GradientScore):
        def losses(self, problem, outputs, batch, distilled):
            raise RuntimeError("no loss")

    model = tiny_classifier().train()
    with pytest.raises(RuntimeError, match="no loss"):
        score_units(model, [tiny_batch()], [Fails()])
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(linear._forward_pre_hooks for linear in model.modules() if isinstance(linear, torch.nn.Linear))


def test_dropout_is_off_while_scoring():
    model = tiny_classifier().train()
    first, second = (flat(score_units(model, [tiny_batch()], SCORES)) for _ in range(2))
    assert torch.equal(first, second)
