"""Decoupled distillation, compared with scipy's divergences of the parts."""

import numpy as np
import pytest
import scipy.stats
import torch

from stark.losses.decoupled import DecoupledKD, decoupled_divergences
from stark.losses.kl_divergence import kl_divergence
from tests.stark.losses.test_soft_targets import TEMPERATURES, probabilities, random_logits
from tests.tiny import distillation_loss, problem


def parts(student, teacher, targets, temperature=1.0):
    """The two divergences, row by row."""
    p, q = probabilities(teacher, temperature), probabilities(student, temperature)
    found = []
    for p_row, q_row, target in zip(p, q, targets, strict=True):
        binary = scipy.stats.entropy([p_row[target], 1 - p_row[target]], [q_row[target], 1 - q_row[target]])
        rest = (np.delete(row, target) / (1 - row[target]) for row in (p_row, q_row))
        found.append((binary, scipy.stats.entropy(*rest), p_row[target]))
    return np.array(found).T


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("classes", [2, 4])
def test_it_is_the_weighted_sum_of_scipys_divergences(temperature, classes):
    student, teacher, labels = random_logits(classes=classes)
    binary, rest, _ = parts(student, teacher, labels.tolist(), temperature)
    found = distillation_loss(
        student_logits=student,
        teacher_logits=teacher,
        labels=labels,
        loss=DecoupledKD(temperature, 1.0, alpha=0.5, beta=3.0),
        reduction="none",
    )
    np.testing.assert_allclose(found.numpy(), temperature**2 * (0.5 * binary + 3 * rest), rtol=1e-7, atol=1e-11)


def test_with_the_teachers_doubt_as_weight_it_is_the_divergence_gradients_included():
    student, teacher, labels = random_logits(classes=5)
    gradients = []
    for kind in ("parts", "whole"):
        logits = [tensor.clone().requires_grad_() for tensor in (student, teacher)]
        given = {"student_logits": logits[0], "teacher_logits": logits[1]}
        if kind == "parts":
            binary, rest = decoupled_divergences(**given, target=labels)
            doubt = 1 - logits[1].softmax(-1).gather(-1, labels[:, None])[:, 0]
            value = (binary + doubt * rest).sum()
        else:
            value = kl_divergence(problem(5), **given, reduction="none").sum()
        gradients.append((value.detach(), *torch.autograd.grad(value, logits)))
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-11)


def test_the_target_of_a_row_without_a_label_is_the_teachers_prediction():
    student, teacher, _ = random_logits(classes=4)
    given = {"student_logits": student, "teacher_logits": teacher, "loss": DecoupledKD(weight=1.0)}
    missing = distillation_loss(**given, labels=torch.full((5,), -100))
    torch.testing.assert_close(missing, distillation_loss(**given, labels=teacher.argmax(-1)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_have_finite_gradients(dtype):
    student, teacher, labels = (t.to(dtype) if t.is_floating_point() else t for t in random_logits(scale=1e4))
    student.requires_grad_()
    teacher.requires_grad_()
    distillation_loss(student_logits=student, teacher_logits=teacher, labels=labels, loss=DecoupledKD()).backward()
    assert student.grad.isfinite().all()
    assert teacher.grad.isfinite().all()


@pytest.mark.parametrize("name", ["alpha", "beta"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_weights_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        DecoupledKD(**{name: value})


def test_its_text_has_its_settings():
    assert repr(DecoupledKD(3.0)) == "DecoupledKD(temperature=3.0, weight=0.5, alpha=1.0, beta=8.0)"
