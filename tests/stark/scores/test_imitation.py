"""Imitation, compared with gradients that are computed row by row from transformers' own forward pass."""

import copy

import pytest
import torch

from stark.encoders.masking import unit_masks
from stark.encoders.units import UnitMasks
from stark.errors import StarkError
from stark.losses.hidden_states import HiddenStates
from stark.losses.soft_targets import SoftTargets
from stark.losses.weighted import WeightedSum
from stark.scores.expressiveness import Expressiveness
from stark.scores.friendliness import Friendliness
from stark.scores.imitation import Imitation
from stark.scores.score import Distilled, Taught, check_score, check_teacher_score
from stark.scores.scoring import score_units
from tests.tiny import FAMILIES, ones, tiny_batch, tiny_classifier


def by_hand(student, teacher, batch, weight):
    """Sums over rows of absolute gradients of w T^2 soft CE + (1 - w) CE, at temperature 2."""
    sums = None
    for row in range(len(batch["labels"])):
        one = {name: tensor[row : row + 1] for name, tensor in batch.items()}
        inputs = {name: one[name] for name in ("input_ids", "attention_mask")}
        masks = UnitMasks(*([mask.double().requires_grad_() for mask in kind] for kind in ones(student)))
        with torch.no_grad():
            wanted = teacher(**inputs).logits
        with unit_masks(student, masks):
            found = student(**inputs).logits
        soft = -((wanted / 2).softmax(-1) * (found / 2).log_softmax(-1)).sum()
        loss = 4 * weight * soft + (1 - weight) * torch.nn.functional.cross_entropy(found, one["labels"])
        gradients = torch.autograd.grad(loss, [*masks.heads, *masks.neurons])
        sums = [a + g.abs() for a, g in zip(sums or [0.0] * len(gradients), gradients, strict=True)]
    return sums


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_the_distillation_loss(family):
    student, teacher = (tiny_classifier(family, seed=seed).double() for seed in (1, 2))
    batch = tiny_batch(4, seed=3)
    before = copy.deepcopy(teacher.state_dict())
    scores = score_units(student, [batch], [Imitation()], Taught(teacher, SoftTargets(2.0, 0.7)))
    found = [*scores.heads["imitation"], *scores.neurons["imitation"]]
    for mine, expected in zip(found, by_hand(student, teacher, batch, 0.7), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-6, atol=1e-12)
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())


def test_layers_that_the_loss_compares_are_asked_of_both():
    student, teacher = (tiny_classifier(seed=seed) for seed in (1, 2))
    loss = WeightedSum([SoftTargets(), HiddenStates()], [1.0, 5.0])
    loss.prepare_(student, teacher)
    batch = tiny_batch(4, seed=3)
    with_layers = score_units(student, [batch], [Imitation()], Taught(teacher, loss))
    alone = score_units(student, [batch], [Imitation()], Taught(teacher, SoftTargets()))
    assert not torch.allclose(with_layers.neurons["imitation"][0], alone.neurons["imitation"][0])


def test_expressiveness_is_the_same_with_a_teacher():
    student, teacher = (tiny_classifier(seed=seed) for seed in (1, 2))
    batch = tiny_batch(4, seed=3)
    one, two = (
        score_units(student, [batch], [Expressiveness()], taught) for taught in (None, Taught(teacher, SoftTargets()))
    )
    assert torch.equal(one.neurons["expressiveness"][1], two.neurons["expressiveness"][1])


def test_each_score_names_the_model_that_it_needs():
    student, teacher = (tiny_classifier(seed=seed) for seed in (1, 2))
    with pytest.raises(StarkError, match="Imitation compares with a teacher: give one"):
        score_units(student, [tiny_batch()], [Imitation()], Distilled(teacher, SoftTargets()))
    with pytest.raises(StarkError, match="Friendliness compares with a distilled student: give one"):
        score_units(student, [tiny_batch()], [Friendliness()], Taught(teacher, SoftTargets()))
    with pytest.raises(StarkError, match=r"x is Imitation, which compares a student .* or cut in several steps"):
        check_score(Imitation(), "x")
    assert isinstance(check_score(Imitation(), "x", has_teacher=True), Imitation)
    with pytest.raises(StarkError, match="x is Imitation, which ranks the units of a student"):
        check_teacher_score(Imitation(), "x")
