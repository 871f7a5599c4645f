"""Baselines: against difference quotients, plain loops over weights, and each other."""

import pytest
import torch

from stark.encoders.layers import encoder_layers
from stark.encoders.masking import unit_masks
from stark.encoders.units import UnitMasks
from stark.forward.classifying import classify
from stark.losses.kl_divergence import kl_divergence
from stark.losses.soft_targets import SoftTargets
from stark.scores.friendliness import score_teacher
from stark.scores.knowledgeableness import teacher_masks
from stark.scores.rankings import ranked_masks, score_baselines
from tests.tiny import distillation_loss, problem, tiny_batch, tiny_classifier


@pytest.fixture
def models():
    return tiny_classifier(seed=1).double(), tiny_classifier(seed=2).double()


def loss_without(teacher, student, batches, loss, step, kind, layer, unit):
    """The sum of the losses when a unit's mask is 1 - step."""
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
    scores = getattr(score_baselines(teacher, student, batches, SoftTargets()), kind)["signed_friendliness"]
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
    scores = score_baselines(teacher, student, batches, SoftTargets()).neurons["kl_friendliness"]
    expected = 0.0
    for batch in batches:
        before, after = (loss_without(teacher, student, [batch], diverging, step, 1, 0, 3) for step in (-1e-5, 1e-5))
        expected += abs(after - before) / 2e-5
    assert float(scores[0][3]) == pytest.approx(expected, rel=1e-4)


def test_lam_and_its_ends_are_those_of_the_teacher(models):
    teacher, student = models
    scores = score_teacher(teacher, student, [tiny_batch()], SoftTargets())
    for ranking, lam in ((0.25, 0.25), ("expressiveness", 1.0), ("friendliness", 0.0)):
        for found, wanted in zip(
            ranked_masks(ranking, 0.4, scores, teacher), teacher_masks(scores, lam, 0.4), strict=True
        ):
            assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("ranking", ["magnitude", "random", "signed_friendliness", "kl_friendliness"])
def test_every_ranking_removes_the_same_number(models, ranking):
    teacher, student = models
    scores = score_baselines(teacher, student, [tiny_batch()], SoftTargets())
    heads, neurons = ranked_masks(ranking, 0.25, scores, teacher, seed=3)
    assert sum(int((~mask).sum()) for mask in heads) == 2
    assert sum(int((~mask).sum()) for mask in neurons) == 32


def test_random_is_by_its_seed(models):
    teacher, _ = models
    drawn = [torch.cat(ranked_masks("random", 0.5, None, teacher, seed)[1]) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
