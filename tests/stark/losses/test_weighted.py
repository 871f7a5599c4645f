"""The weighted sum of losses."""

import pytest
import torch
from torch import nn

from stark.losses.loss import Loss
from stark.losses.soft_targets import SoftTargets
from stark.losses.weighted import WeightedSum
from tests.stark.losses.test_soft_targets import random_logits
from tests.tiny import distillation_loss, tiny_classifier


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
