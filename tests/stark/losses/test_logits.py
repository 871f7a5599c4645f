"""Every loss of logits: the part of the labels, rows without labels, and the mean of rows."""

import pytest
import torch

from stark.losses.decoupled import DecoupledKD
from stark.losses.dist import DIST
from stark.losses.jensen_shannon import JensenShannon
from stark.losses.kl_divergence import KLDivergence
from stark.losses.logit_mse import LogitMSE
from stark.losses.reverse_kl import ReverseKL
from stark.losses.soft_targets import SoftTargets
from stark.losses.standardized import StandardizedLogits
from stark.losses.symmetric_kl import SymmetricKL
from tests.stark.losses.test_soft_targets import random_logits
from tests.tiny import distillation_loss, problem

ALL = [
    SoftTargets,
    KLDivergence,
    ReverseKL,
    SymmetricKL,
    JensenShannon,
    LogitMSE,
    DecoupledKD,
    DIST,
    StandardizedLogits,
]


@pytest.mark.parametrize("kind", ALL)
def test_the_labels_part_is_the_task_loss_and_missing_labels_have_none(kind):
    student, teacher, labels = random_logits()
    labels[1] = -100
    given = {"student_logits": student, "teacher_logits": teacher, "labels": labels, "reduction": "none"}
    mixed, teachers = (distillation_loss(**given, loss=kind(weight=weight)) for weight in (0.25, 1.0))
    torch.testing.assert_close(mixed, 0.25 * teachers + 0.75 * problem(3).task_loss(student, labels, "none"))
    assert mixed[1] == 0.25 * teachers[1]
    mean = distillation_loss(**{**given, "reduction": "mean"}, loss=kind(weight=0.25))
    torch.testing.assert_close(mean, mixed.mean())


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_models_get_finite_gradients_in_the_type_of_the_logits(kind, dtype):
    student, teacher, labels = random_logits()
    student, teacher = (logits.to(dtype).requires_grad_() for logits in (student, teacher))
    loss = distillation_loss(student_logits=student, teacher_logits=teacher, labels=labels, loss=kind())
    loss.backward()
    assert loss.dtype == dtype
    for logits in (student, teacher):
        assert logits.grad.isfinite().all()
        assert logits.grad.abs().max() > 0


@pytest.mark.parametrize("kind", ALL)
def test_its_text_and_its_checks_have_its_weight(kind):
    assert "weight=0.25" in repr(kind(weight=0.25))
    with pytest.raises(ValueError, match="weight is 2"):
        kind(weight=2)
