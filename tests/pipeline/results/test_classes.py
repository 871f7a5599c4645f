"""Precision and recall of classes, against scikit-learn."""

import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support

from pipeline.results.classes import class_scores
from stark.problems.table import problem_for
from tests.tiny import problem


@pytest.mark.parametrize("num_labels", [2, 5])
def test_they_are_sklearns(num_labels):
    generator = torch.Generator().manual_seed(num_labels)
    labels, student, teacher = torch.randint(num_labels, (3, 90), generator=generator)
    student[student == 1] = 0  # never predicted
    labels[labels == num_labels - 1] = 0  # without rows
    found = class_scores(student, teacher, labels, problem(num_labels))
    numbers = range(num_labels)
    expected = precision_recall_fscore_support(labels, student, labels=numbers, zero_division=0)
    before = precision_recall_fscore_support(labels, teacher, labels=numbers, zero_division=0)
    for place, entry in enumerate(found):
        assert entry.label == problem(num_labels).label_names[place]
        assert entry.rows == expected[3][place]
        values = (expected[0][place], expected[1][place], before[1][place])
        assert (entry.precision, entry.recall, entry.teacher_recall) == pytest.approx(values, abs=1e-6)
        assert entry.f1 == pytest.approx(expected[2][place], abs=1e-6)


def test_several_labels_a_row_are_sklearns():
    generator = torch.Generator().manual_seed(0)
    names = ["a", "b", "c", "never"]
    student, teacher = torch.randn(2, 90, 4, generator=generator)
    labels = (torch.rand(90, 4, generator=generator) < 0.3).to(torch.int8)
    student[:, 3], labels[:, 2] = -1, 0
    found = class_scores(student, teacher, labels, problem_for(names, "multi_label"))
    expected = precision_recall_fscore_support(labels, student > 0, zero_division=0)
    before = precision_recall_fscore_support(labels, teacher > 0, zero_division=0)
    for place, entry in enumerate(found):
        values = (names[place], expected[3][place], before[1][place], *(part[place] for part in expected[:3]))
        assert (entry.label, entry.rows) == values[:2]
        shares = (entry.teacher_recall, entry.precision, entry.recall, entry.f1)
        assert shares == pytest.approx(values[2:], abs=1e-6)


def test_scores_have_no_classes():
    assert class_scores(torch.zeros(2), torch.zeros(2), torch.zeros(2), problem(1)) is None
