"""The symmetric divergence, compared with scipy."""

import numpy as np
import pytest
import scipy.stats
import torch

from stark.losses.symmetric_kl import SymmetricKL, symmetric_kl
from tests.stark.losses.test_soft_targets import TEMPERATURES, probabilities, random_logits
from tests.tiny import distillation_loss, problem


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_it_is_the_mean_of_scipys_divergences(temperature):
    student, teacher, labels = random_logits()
    p, q = probabilities(teacher, temperature), probabilities(student, temperature)
    expected = (scipy.stats.entropy(p, q, axis=1) + scipy.stats.entropy(q, p, axis=1)) / 2
    given = {"student_logits": student, "teacher_logits": teacher, "labels": labels, "reduction": "none"}
    found = distillation_loss(**given, loss=SymmetricKL(temperature, 1.0))
    np.testing.assert_allclose(found.numpy(), temperature**2 * expected, rtol=1e-9, atol=1e-12)


def test_the_order_does_not_matter():
    first, second, _ = random_logits()
    one, other = (
        symmetric_kl(problem(3), student_logits=a, teacher_logits=b) for a, b in ((first, second), (second, first))
    )
    torch.testing.assert_close(one, other, rtol=1e-14, atol=0)
