"""Alarms about results that are made up."""

import pytest
import torch

from datamodules.tokens.truncation import Truncation
from pipeline.results.alarms import Answers, run_alarms, teacher_alarms, truncation_alarms
from tests.pipeline.runs import model_of
from tests.tiny import problem


def accuracy(predicted, labels):
    return float((predicted == labels).double().mean())


LABELS = torch.arange(300) % 3


def right_on(share, labels=LABELS, seed=0):
    """Predictions that are right on a share of the rows, and one class off on the others."""
    hit = torch.rand(len(labels), generator=torch.Generator().manual_seed(seed)) < share
    return torch.where(hit, labels, (labels + 1) % 3)


@pytest.mark.parametrize("given", [True, False])
def test_a_teacher_that_learned_nothing(given):
    unequal = torch.where(torch.arange(300) < 200, 1, LABELS)
    (line,) = teacher_alarms(torch.ones(300).long(), unequal, problem(3), accuracy, given=given)
    score = 100 * accuracy(torch.ones(300), unequal)
    assert f"the teacher scores {score:.1f} on the selection part, and answering always" in line
    assert line.endswith("check its labels and its task" if given else "finetuning.epochs or finetuning.learning_rate")
    assert teacher_alarms(right_on(0.8), LABELS, problem(3), accuracy, given=given) == []


def test_a_regression_teacher_that_learned_nothing():
    def metric(said, _):
        return -0.08 if said.any() else 0.0

    (line,) = teacher_alarms(torch.ones(9), torch.arange(9.0), problem(1), metric, given=False)
    assert "scores -8.0 on the selection part, and answering one score for all rows scores 0.0" in line


def test_rows_that_are_cut():
    assert truncation_alarms(Truncation(5, 100, 99, 1000), 128) == []
    (line,) = truncation_alarms(Truncation(6, 100, 99, 1000), 128)
    assert line.startswith(
        "of dev, 6 of 100 rows have more than 128 tokens and are cut, which loses 9.9 % of all tokens"
    )


def test_labels_in_another_order():
    said = torch.tensor([1, 2, 0])[LABELS]
    said[:40] = 0  # not perfect
    (line,) = teacher_alarms(said, LABELS, problem(3), accuracy, given=True)
    assert "labels look permuted" in line
    names = problem(3).label_names
    assert f"its {names[1]!r} is mostly {names[0]!r}" in line
    assert "permuted" not in " ".join(teacher_alarms(said, LABELS, problem(3), accuracy, given=False))
    assert teacher_alarms(right_on(0.6), LABELS, problem(3), accuracy, given=True) == []


def alarms(selection, dev=None, *, best=2, given=False, labels=LABELS):
    """Of a teacher, an undistilled student, and the students of a dense and a sparse teacher."""
    models = [
        model_of("teacher", accuracy(selection[0], labels)),
        model_of("undistilled", accuracy(selection[1], labels)),
        model_of("dense", accuracy(selection[2], labels), seed=1, teacher_sparsity=0.0),
        model_of("sparse", accuracy(selection[3], labels), seed=1, teacher_sparsity=0.2),
    ]
    parts = [
        Answers(labels, {model.folder: said for model, said in zip(models, part, strict=True)})
        for part in (selection, dev or selection)
    ]
    return run_alarms(models, models[2:], models[best], *parts, problem(3), accuracy, given=given)


FINE = [right_on(0.9), right_on(0.5), right_on(0.88), right_on(0.8)]


def test_a_run_that_is_fine_has_none():
    assert alarms(FINE) == []


def test_a_selection_part_that_is_too_small():
    (line,) = alarms([*FINE[:3], right_on(0.88, seed=1)])
    assert line.startswith("the selection part is too small for this choice: 1 of 1 other students are within one")
    assert "with 300 rows" in line


def test_a_student_far_above_its_teacher():
    (line,) = alarms([right_on(0.7), *FINE[1:]])
    assert "points more on dev than the dense teacher" in line


def test_a_student_that_distillation_made_worse():
    (line,) = alarms([FINE[0], right_on(0.95), *FINE[2:]])
    assert "points more on dev before distillation than after it" in line


def test_a_sparse_teachers_student_that_is_worse_on_dev():
    (line,) = alarms([*FINE[:2], right_on(0.6), right_on(0.8)], FINE, best=3)
    assert "less on dev than the dense teacher's student (dense), which is more than two standard errors" in line


def test_selection_rows_that_a_given_teacher_knows():
    seen = [torch.where(torch.arange(300) < 299, LABELS, 0), *FINE[1:]]
    (line,) = alarms(seen, [right_on(0.9), *FINE[1:]], given=True)
    assert "may have been trained on these rows" in line
    assert alarms(seen, [right_on(0.9), *FINE[1:]], given=False) == []


def test_classes_that_the_student_lost():
    lost = torch.where(FINE[2] == 2, 0, FINE[2])
    (line,) = alarms([*FINE[:2], lost, right_on(0.5)], best=2)
    found = int((FINE[0][LABELS == 2] == 2).sum())
    assert f"no row of 1 class on dev: {problem(3).label_names[2]!r} (of 100 rows the teacher finds {found})" in line
