"""The reverse divergence, compared with scipy."""

import numpy as np
import pytest
import scipy.stats

from stark.losses.reverse_kl import ReverseKL, reverse_kl
from tests.stark.losses.test_soft_targets import TEMPERATURES, probabilities, random_logits
from tests.tiny import distillation_loss, problem


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_it_is_scipys(temperature):
    student, teacher, _ = random_logits()
    p, q = probabilities(teacher, temperature), probabilities(student, temperature)
    found = reverse_kl(
        problem(3), student_logits=student / temperature, teacher_logits=teacher / temperature, reduction="none"
    )
    np.testing.assert_allclose(found.numpy(), scipy.stats.entropy(q, p, axis=1), rtol=1e-9, atol=1e-12)


def test_the_loss_has_its_temperature():
    student, teacher, labels = random_logits()
    found = distillation_loss(
        student_logits=student, teacher_logits=teacher, labels=labels, loss=ReverseKL(3.0, 1.0), reduction="none"
    )
    p, q = probabilities(teacher, 3.0), probabilities(student, 3.0)
    np.testing.assert_allclose(found.numpy(), 9 * scipy.stats.entropy(q, p, axis=1), rtol=1e-9)
