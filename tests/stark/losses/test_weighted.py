"""The weighted sum of losses."""

import pytest
import torch
from torch import nn

from stark.forward.classifying import Outputs
from stark.losses.hidden_states import HiddenStates
from stark.losses.logit_mse import LogitMSE
from stark.losses.loss import PROGRESS, Loss
from stark.losses.minilm import MiniLM
from stark.losses.soft_targets import SoftTargets
from stark.losses.weighted import WeightedSum
from tests.stark.losses.test_soft_targets import random_logits
from tests.tiny import distillation_loss, problem, tiny_classifier


class Scaled(Loss):
    student_layers = (0,)

    def prepare_(self, student, teacher):
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, problem, student, teacher, batch, reduction="mean"):
        loss = self.scale * student.logits.sum(-1)
        return loss.mean() if reduction == "mean" else loss


def test_it_is_the_sum():
    student, teacher, labels = random_logits()
    scaled = Scaled()
    both = WeightedSum([SoftTargets(), scaled], [0.5, 0.25])
    both.prepare_(tiny_classifier(), tiny_classifier())
    given = {"student_logits": student, "teacher_logits": teacher, "labels": labels, "reduction": "none"}
    expected = 0.5 * distillation_loss(**given) + 0.25 * 2 * student.sum(-1)
    torch.testing.assert_close(distillation_loss(**given, loss=both), expected)
    assert [name for name, _ in both.named_parameters()] == ["losses.1.scale"]
    assert both.student_layers == (0,)
    assert both.teacher_layers == ()


def test_its_text_has_all_settings():
    assert "temperature=2.0" in repr(WeightedSum([SoftTargets()], [1.0]))
    assert "weights=[1.0]" in repr(WeightedSum([SoftTargets()], [1.0]))


@pytest.mark.parametrize(("losses", "weights"), [([], []), ([SoftTargets()], [1.0, 2.0])])
def test_each_loss_needs_a_weight(losses, weights):
    with pytest.raises(ValueError, match="give each loss one"):
        WeightedSum(losses, weights)


@pytest.mark.parametrize(("schedule", "halfway"), [("linear", 0.75), ("cosine", 0.8535533906)])
def test_a_pair_is_a_weight_that_changes(schedule, halfway):
    student, teacher, labels = random_logits()
    changing = WeightedSum([SoftTargets(), LogitMSE(1.0)], [1.0, (1.0, 0.0)], schedule)
    assert changing.needs_progress
    outer = WeightedSum([changing], [1.0])
    assert outer.needs_progress
    parts = [
        distillation_loss(student_logits=student, teacher_logits=teacher, labels=labels, loss=loss)
        for loss in (SoftTargets(), LogitMSE(1.0))
    ]
    for progress, weight in ((0.0, 1.0), (0.25, halfway), (1.0, 0.0), (None, 0.0)):
        batch = {"labels": labels} | ({} if progress is None else {PROGRESS: torch.tensor(progress).double()})
        found = outer(problem(3), Outputs(student), Outputs(teacher), batch)
        torch.testing.assert_close(found, parts[0] + weight * parts[1])


def test_layers_that_are_known_late_are_asked_for():
    both = WeightedSum([HiddenStates(), HiddenStates([0]), MiniLM()], [1.0, 1.0, 1.0])
    both.prepare_(tiny_classifier(), tiny_classifier(layers=4))
    assert (both.student_layers, both.teacher_layers) == ((1, 2, 0), (2, 4, 0))
    assert both.student_projections == both.teacher_projections == (-1,)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), (1.0, -1.0), (1.0, 2.0, 3.0), ()])
def test_weights_out_of_range_are_refused(weight):
    with pytest.raises(ValueError, match="a weight of WeightedSum is"):
        WeightedSum([SoftTargets()], [weight])


def test_another_schedule_is_refused_and_its_text_has_it():
    with pytest.raises(ValueError, match="schedule is 'step': choose linear or cosine"):
        WeightedSum([SoftTargets()], [1.0], "step")
    assert "weights=[(1.0, 0.0)], schedule=cosine" in repr(WeightedSum([SoftTargets()], [[1.0, 0.0]], "cosine"))
