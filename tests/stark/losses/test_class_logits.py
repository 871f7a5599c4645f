import pytest

from stark.losses.class_logits import ClassLoss
from stark.losses.decoupled import DecoupledKD
from stark.losses.standardized import StandardizedLogits
from tests.stark.losses.test_soft_targets import random_logits
from tests.tiny import distillation_loss, problem, tiny_classifier


def test_scores_are_refused_before_a_fit_and_in_use():
    with pytest.raises(ValueError, match=r"DecoupledKD needs one class per row.*'regression'"):
        DecoupledKD().prepare_(tiny_classifier(num_labels=1), tiny_classifier(num_labels=1))
    student, teacher, labels = random_logits(classes=1)
    with pytest.raises(ValueError, match=r"DecoupledKD needs one class per row"):
        distillation_loss(student_logits=student, teacher_logits=teacher, labels=labels, loss=DecoupledKD())


def test_too_few_classes_are_refused():
    with pytest.raises(ValueError, match=r"StandardizedLogits needs 3 classes or more, and there are 2"):
        StandardizedLogits().prepare_(tiny_classifier(), tiny_classifier())
    StandardizedLogits().check_problem(problem(3))
    ClassLoss().check_problem(problem(2))
