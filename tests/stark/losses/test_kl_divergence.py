"""KL divergence, compared with scipy."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

from stark.losses.kl_divergence import kl_divergence
from tests.stark.losses.test_soft_targets import TEMPERATURES, probabilities, random_logits
from tests.tiny import problem


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_kl_divergence_is_scipys(temperature):
    student, teacher, _ = random_logits()
    p, q = probabilities(teacher, temperature), probabilities(student, temperature)
    found = kl_divergence(
        problem(3), student_logits=student / temperature, teacher_logits=teacher / temperature, reduction="none"
    )
    np.testing.assert_allclose(found.numpy(), scipy.stats.entropy(p, q, axis=1), rtol=1e-9, atol=1e-12)
