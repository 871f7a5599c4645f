"""Standardised logits, compared with scipy."""

import numpy as np
import pytest
import scipy.stats
import torch

from stark.losses.standardized import StandardizedLogits, standardized
from tests.stark.losses.test_soft_targets import TEMPERATURES, probabilities, random_logits
from tests.tiny import distillation_loss


def test_rows_are_scipys_z_scores():
    logits, _, _ = random_logits(classes=5)
    np.testing.assert_allclose(standardized(logits).numpy(), scipy.stats.zscore(logits.numpy(), axis=1), rtol=1e-9)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_it_is_the_divergence_of_z_scores(temperature):
    student, teacher, labels = random_logits(classes=4)
    p, q = (
        probabilities(torch.from_numpy(scipy.stats.zscore(logits.numpy(), axis=1)), temperature)
        for logits in (teacher, student)
    )
    found = distillation_loss(
        student_logits=student,
        teacher_logits=teacher,
        labels=labels,
        loss=StandardizedLogits(temperature, 1.0),
        reduction="none",
    )
    np.testing.assert_allclose(found.numpy(), temperature**2 * scipy.stats.entropy(p, q, axis=1), rtol=1e-7, atol=1e-11)


def test_the_scale_of_the_logits_has_no_effect():
    student, teacher, labels = random_logits()
    one, other = (
        distillation_loss(
            student_logits=factor * student + 3, teacher_logits=teacher, labels=labels, loss=StandardizedLogits(2.0, 1)
        )
        for factor in (1.0, 50.0)
    )
    torch.testing.assert_close(one, other)


def test_equal_logits_have_finite_gradients():
    student = torch.zeros(2, 3, requires_grad=True)
    loss = distillation_loss(
        student_logits=student, teacher_logits=torch.zeros(2, 3), labels=torch.tensor([0, 1]), loss=StandardizedLogits()
    )
    loss.backward()
    assert student.grad.isfinite().all()
