"""The Jensen-Shannon divergence, compared with scipy."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from stark.losses.jensen_shannon import JensenShannon, jensen_shannon
from tests.stark.losses.test_soft_targets import TEMPERATURES, probabilities, random_logits
from tests.tiny import distillation_loss, problem


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_it_is_the_square_of_scipys_distance(temperature):
    student, teacher, labels = random_logits()
    p, q = probabilities(teacher, temperature), probabilities(student, temperature)
    given = {"student_logits": student, "teacher_logits": teacher, "labels": labels, "reduction": "none"}
    found = distillation_loss(**given, loss=JensenShannon(temperature, 1.0))
    np.testing.assert_allclose(found.numpy(), temperature**2 * jensenshannon(p, q, axis=1) ** 2, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_certain_models_that_differ_have_the_largest_divergence_and_finite_gradients(dtype):
    student = torch.tensor([[1e4, 0.0]], dtype=dtype, requires_grad=True)
    teacher = torch.tensor([[0.0, 1e4]], dtype=dtype, requires_grad=True)
    found = jensen_shannon(problem(2), student_logits=student, teacher_logits=teacher)
    found.backward()
    assert found.item() == pytest.approx(math.log(2))
    assert student.grad.isfinite().all()
    assert teacher.grad.isfinite().all()
