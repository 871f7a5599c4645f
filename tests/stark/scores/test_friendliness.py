"""Friendliness of the teacher's units to a student, and its variants, compared with difference quotients."""

import pytest
import torch

from stark.encoders.layers import encoder_layers
from stark.encoders.masking import unit_masks
from stark.encoders.units import UnitMasks
from stark.errors import StarkError
from stark.forward.classifying import classify
from stark.losses.kl_divergence import kl_divergence
from stark.losses.soft_targets import SoftTargets
from stark.losses.weighted import WeightedSum
from stark.scores.friendliness import KLFriendliness, SignedFriendliness
from stark.scores.score import Distilled
from stark.scores.scoring import score_units
from tests.tiny import distillation_loss, problem, scores_against, tiny_batch, tiny_classifier


@pytest.mark.parametrize("training", [True, False])
def test_scoring_leaves_both_models_as_they_were(training):
    teacher, student = tiny_classifier().requires_grad_(False), tiny_classifier(layers=1, seed=1).train(training)
    before = [tensor.clone() for model in (teacher, student) for tensor in model.state_dict().values()]
    state = torch.get_rng_state()
    first, second = (scores_against(teacher, student, [tiny_batch()]) for _ in range(2))
    assert torch.equal(first.heads["friendliness"][0], second.heads["friendliness"][0])  # scoring uses no dropout
    assert all(module.training == training for module in student.modules())
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(parameter.requires_grad for parameter in student.parameters())
    assert all(p.grad is None for model in (teacher, student) for p in model.parameters())
    after = [tensor for model in (teacher, student) for tensor in model.state_dict().values()]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert torch.equal(state, torch.get_rng_state())


def test_friendliness_depends_on_the_student_and_expressiveness_does_not():
    teacher = tiny_classifier()
    one, other = (scores_against(teacher, tiny_classifier(seed=seed), [tiny_batch()], SoftTargets()) for seed in (1, 2))
    assert torch.equal(one.neurons["expressiveness"][0], other.neurons["expressiveness"][0])
    assert not torch.allclose(one.neurons["friendliness"][0], other.neurons["friendliness"][0])


@pytest.fixture
def models():
    return tiny_classifier(seed=1).double(), tiny_classifier(seed=2).double()


def loss_without(teacher, student, batches, loss, step, kind, layer, unit):
    """The sum of the losses if a unit's mask is 1 - step."""
    layers = encoder_layers(teacher)
    sizes = [[layer.num_heads for layer in layers], [layer.num_neurons for layer in layers]]
    masks = UnitMasks(*([torch.ones(n, dtype=torch.float64) for n in kind] for kind in sizes))
    masks[kind][layer][unit] -= step
    total = 0.0
    with torch.no_grad(), unit_masks(teacher, masks):
        for batch in batches:
            total += float(loss(classify(student, batch), classify(teacher, batch), batch["labels"]))
    return total


def distilled(student, teacher, labels):
    return distillation_loss(student_logits=student, teacher_logits=teacher, labels=labels, reduction="none").sum()


def diverging(student, teacher, labels):
    return 2 * kl_divergence(problem(), student_logits=student / 2, teacher_logits=teacher / 2, reduction="none").sum()


@pytest.mark.parametrize(("kind", "unit"), [("heads", 1), ("neurons", 5)])
def test_signed_friendliness_is_how_the_loss_grows(models, kind, unit):
    teacher, student = models
    batches = [tiny_batch(seed=seed) for seed in (0, 1)]
    scores = getattr(
        score_units(teacher, batches, [SignedFriendliness(), KLFriendliness()], Distilled(student, SoftTargets())), kind
    )["signed_friendliness"]
    place = ("heads", "neurons").index(kind)
    for layer in (0, 1):
        before, after = (
            loss_without(teacher, student, batches, distilled, step, place, layer, unit) for step in (-1e-5, 1e-5)
        )
        assert float(scores[layer][unit]) == pytest.approx((after - before) / 2e-5, rel=1e-4)
    assert min(float(score.min()) for score in scores) < 0


def test_kl_friendliness_is_of_the_divergence(models):
    teacher, student = models
    batches = [tiny_batch(batch_size=1, seed=seed) for seed in (0, 1)]
    scores = score_units(
        teacher, batches, [SignedFriendliness(), KLFriendliness()], Distilled(student, SoftTargets())
    ).neurons["kl_friendliness"]
    expected = 0.0
    for batch in batches:
        before, after = (loss_without(teacher, student, [batch], diverging, step, 1, 0, 3) for step in (-1e-5, 1e-5))
        expected += abs(after - before) / 2e-5
    assert float(scores[0][3]) == pytest.approx(expected, rel=1e-4)


def test_the_divergence_is_no_variant_of_another_loss():
    with pytest.raises(StarkError, match=r"KLFriendliness needs stark\.SoftTargets"):
        KLFriendliness().check(WeightedSum([SoftTargets()], [1.0]))
    KLFriendliness().check(SoftTargets())
    SignedFriendliness().check(WeightedSum([SoftTargets()], [1.0]))
