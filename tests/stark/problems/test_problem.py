"""The loss on the labels."""

import math

import numpy as np

from stark.problems.problem import task_loss
from tests.stark.losses.test_soft_targets import probabilities, random_logits


def test_task_loss_is_minus_the_log_probability_of_the_label():
    student, _, labels = random_logits()
    expected = [-math.log(row[label]) for row, label in zip(probabilities(student), labels, strict=True)]
    np.testing.assert_allclose(task_loss(student, labels, "none").numpy(), expected, rtol=1e-12)
