"""Labels that are classes."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score
from torchmetrics.functional.classification import multiclass_calibration_error

from tests.stark.losses.test_soft_targets import probabilities, random_logits
from tests.tiny import problem


def test_task_loss_is_minus_the_log_probability_of_the_label():
    student, _, labels = random_logits()
    expected = [-math.log(row[label]) for row, label in zip(probabilities(student), labels, strict=True)]
    np.testing.assert_allclose(problem(3).task_loss(student, labels, "none").numpy(), expected, rtol=1e-12)


def test_a_prediction_is_the_most_probable_class():
    student, _, _ = random_logits(batch=50)
    found = problem(3)
    np.testing.assert_allclose(found.probabilities(student).numpy(), probabilities(student), rtol=1e-12)
    assert found.predictions(student).tolist() == probabilities(student).argmax(1).tolist()


def test_logits_of_probabilities_give_these_probabilities():
    student, _, _ = random_logits(batch=20)
    found = problem(3)
    expected = found.probabilities(student)
    torch.testing.assert_close(found.probabilities(found.logits_of(expected)), expected)
    torch.testing.assert_close(found.probabilities(found.logits_of(0.99 * expected)), expected)
    certain = found.logits_of(torch.tensor([[1.0, 0.0, 0.0]]))
    assert certain.tolist() == [[0.0, pytest.approx(math.log(1e-6)), pytest.approx(math.log(1e-6))]]


def test_agreement_is_the_share_of_equal_predictions():
    first, second, _ = random_logits(batch=50)
    expected = accuracy_score(probabilities(first).argmax(1), probabilities(second).argmax(1))
    assert problem(3).agreement(first, second) == pytest.approx(expected)
    assert problem(3).agreement(first, first) == 1


def test_strata_are_the_classes_and_metrics_those_that_are_defined():
    labels = torch.tensor([2, 0, 1])
    assert problem(3).strata(labels).tolist() == [2, 0, 1]
    more = ("matthews_corrcoef", "macro_f1", "weighted_f1", "balanced_accuracy")
    assert problem(2).metrics == ("accuracy", "f1", *more)
    assert problem(3).metrics == ("accuracy", *more)


def test_calibration_is_torchmetrics():
    student, _, labels = random_logits(batch=200)
    expected = multiclass_calibration_error(student.softmax(-1), labels, num_classes=3, n_bins=15)
    assert problem(3).calibration_error(student, labels, 15) == pytest.approx(float(expected))


def test_weights_multiply_the_loss_of_their_class():
    student, _, labels = random_logits()
    weights = [0.5, 3.0, 1.0]
    plain, weighted = problem(3), problem(3).for_train(labels, weights)
    expected = plain.task_loss(student, labels, "none") * torch.tensor(weights)[labels]
    torch.testing.assert_close(weighted.task_loss(student, labels, "none"), expected)
    torch.testing.assert_close(weighted.task_loss(student, labels), expected.mean())
    assert weighted.note.endswith("label_0 0.5, label_1 3, label_2 1")
    missing = torch.full_like(labels, -100)
    assert weighted.task_loss(student, missing, "none").tolist() == [0] * len(labels)


def test_balanced_weights_do_not_count_rows_without_a_label():
    labels = torch.tensor([0, 0, 0, 1, -100, -100])
    logits = torch.zeros(6, 2)
    found = problem(2).for_train(labels, "balanced").task_loss(logits, labels, "none") / math.log(2)
    assert found.tolist() == pytest.approx([2 / 3] * 3 + [2, 0, 0])


def test_without_weights_it_is_the_same_problem():
    found = problem(2)
    assert found.for_train(torch.tensor([0, 1])) is found
