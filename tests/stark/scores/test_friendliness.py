"""Friendliness: the teacher scored against its student."""

import pytest
import torch

from stark.losses.soft_targets import SoftTargets
from stark.scores.expressiveness import EXPRESSIVENESS
from stark.scores.friendliness import FRIENDLINESS, score_teacher
from tests.tiny import tiny_batch, tiny_classifier


@pytest.mark.parametrize("training", [True, False])
def test_scoring_leaves_both_models_as_they_were(training):
    teacher, student = tiny_classifier().requires_grad_(False), tiny_classifier(layers=1, seed=1).train(training)
    before = [tensor.clone() for model in (teacher, student) for tensor in model.state_dict().values()]
    state = torch.get_rng_state()
    first, second = (score_teacher(teacher, student, [tiny_batch()], SoftTargets()) for _ in range(2))
    assert torch.equal(first.heads[FRIENDLINESS][0], second.heads[FRIENDLINESS][0])  # no dropout in it
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
    one, other = (score_teacher(teacher, tiny_classifier(seed=seed), [tiny_batch()], SoftTargets()) for seed in (1, 2))
    assert torch.equal(one.neurons[EXPRESSIVENESS][0], other.neurons[EXPRESSIVENESS][0])
    assert not torch.allclose(one.neurons[FRIENDLINESS][0], other.neurons[FRIENDLINESS][0])
