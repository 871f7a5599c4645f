import numpy as np
import pytest
import sklearn.metrics
import torch

from stark.losses.kl_divergence import kl_divergence
from stark.losses.logit_mse import LogitMSE
from tests.stark.losses.test_soft_targets import random_logits
from tests.tiny import distillation_loss, problem


@pytest.mark.parametrize("classes", [1, 3])
def test_it_is_sklearns(classes):
    student, teacher, labels = random_logits(classes)
    given = {"student_logits": student, "teacher_logits": teacher, "labels": labels}
    expected = sklearn.metrics.mean_squared_error(teacher.numpy(), student.numpy())
    assert distillation_loss(**given, loss=LogitMSE(1.0)).item() == pytest.approx(expected, rel=1e-12)
    rows = distillation_loss(**given, loss=LogitMSE(1.0), reduction="none")
    np.testing.assert_allclose(rows.numpy(), ((student - teacher) ** 2).numpy().mean(1), rtol=1e-12)


def test_it_is_the_limit_of_the_divergence_for_logits_without_a_mean():
    student, teacher, labels = random_logits()
    student, teacher = (logits - logits.mean(-1, keepdim=True) for logits in (student, teacher))
    high = 1e4
    divergence = high**2 * kl_divergence(problem(3), student_logits=student / high, teacher_logits=teacher / high)
    squared = distillation_loss(student_logits=student, teacher_logits=teacher, labels=labels, loss=LogitMSE(1.0))
    torch.testing.assert_close(2 * divergence, squared, rtol=1e-3, atol=0)
