"""DIST, compared with scipy's correlations."""

import numpy as np
import pytest
import scipy.stats
import torch

from stark.losses.dist import DIST, correlations
from tests.stark.losses.test_soft_targets import TEMPERATURES, probabilities, random_logits
from tests.tiny import distillation_loss


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_it_is_the_weighted_sum_of_scipys_correlations(temperature):
    student, teacher, labels = random_logits(classes=4, batch=7)
    p, q = probabilities(teacher, temperature), probabilities(student, temperature)
    rows = 1 - np.array([scipy.stats.pearsonr(a, b)[0] for a, b in zip(p, q, strict=True)])
    classes = 1 - np.array([scipy.stats.pearsonr(a, b)[0] for a, b in zip(p.T, q.T, strict=True)])
    given = {"student_logits": student, "teacher_logits": teacher, "labels": labels}
    loss = DIST(temperature, 1.0, beta=2.0, gamma=3.0)
    expected = temperature**2 * (2 * rows.mean() + 3 * classes.mean())
    assert distillation_loss(**given, loss=loss).item() == pytest.approx(expected, rel=1e-9)
    assert distillation_loss(**given, loss=loss, reduction="none").mean().item() == pytest.approx(expected, rel=1e-9)
    alone = distillation_loss(**given, loss=DIST(temperature, 1.0, beta=2.0, gamma=0.0), reduction="none")
    np.testing.assert_allclose(alone.numpy(), temperature**2 * 2 * rows, rtol=1e-8, atol=1e-12)


def test_with_two_classes_only_the_correlations_within_classes_have_a_gradient():
    student, teacher, labels = random_logits(classes=2)
    student.requires_grad_()
    for loss, learns in ((DIST(weight=1.0, gamma=0.0), False), (DIST(weight=1.0, beta=0.0), True)):
        value = distillation_loss(student_logits=student, teacher_logits=teacher, labels=labels, loss=loss)
        (gradient,) = torch.autograd.grad(value, student)
        assert (gradient.abs().max() > 1e-6) == learns


def test_a_batch_of_one_row_has_finite_gradients():
    student, teacher, labels = random_logits(batch=1)
    student.requires_grad_()
    distillation_loss(student_logits=student, teacher_logits=teacher, labels=labels, loss=DIST()).backward()
    assert student.grad.isfinite().all()
    assert correlations(torch.ones(1, 3), torch.randn(1, 3), dim=-1).item() == 0


@pytest.mark.parametrize("name", ["beta", "gamma"])
def test_weights_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is -1"):
        DIST(**{name: -1})


def test_its_text_has_its_settings():
    assert repr(DIST()) == "DIST(temperature=1.0, weight=0.5, beta=1.0, gamma=1.0)"
