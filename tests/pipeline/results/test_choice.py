"""The choice of a student."""

import pytest
import torch

from pipeline.results.choice import choose, eligible
from tests.pipeline.runs import model_of

ROWS = 100


def accuracy(predicted, labels):
    return float((predicted == labels).double().mean())


def student(name, right, *, sparsity=0.2, parameters=10, seed=1):
    """A student that is right on some rows, and its predictions; labels are 0."""
    model = model_of(name, right / ROWS, name=name, seed=seed, teacher_sparsity=sparsity, parameters=parameters)
    return model, (torch.arange(ROWS) >= right).long()


def chosen(*students):
    models = [model for model, _ in students]
    predictions = {model.folder: said for model, said in students}
    return choose(models, predictions, torch.zeros(ROWS, dtype=torch.long), accuracy).name


@pytest.mark.parametrize(("gained", "taken"), [(0, "dense"), (1, "dense"), (8, "sparse"), (40, "sparse")])
def test_a_sparse_teachers_student_must_be_better_by_more_than_an_error(gained, taken):
    """Of rows that one gets right and the other wrong: k in n have the standard error sqrt(k) / n."""
    assert chosen(student("dense", 50, sparsity=0.0), student("sparse", 50 + gained)) == taken


def test_the_error_is_that_of_the_difference():
    """Two that disagree on half of the rows are hardly told apart; accuracies alone would say otherwise."""
    dense, sparse = student("dense", 50, sparsity=0.0)[0], student("sparse", 56)[0]
    labels = torch.zeros(ROWS, dtype=torch.long)
    said = {"dense": (torch.arange(ROWS) >= 50).long(), "sparse": (torch.arange(ROWS) < ROWS - 56).long()}
    assert choose([dense, sparse], said, labels, accuracy).name == "dense"
    said["sparse"] = (torch.arange(ROWS) >= 56).long()
    assert choose([dense, sparse], said, labels, accuracy).name == "sparse"


def test_smaller_is_simpler_and_of_equals_the_best_is_taken():
    assert chosen(student("large", 60), student("small", 59, parameters=5)) == "small"
    assert chosen(student("first", 59), student("better", 60)) == "better"
    assert chosen(student("first", 60), student("second", 60)) == "first"


def test_who_is_eligible():
    models = [
        model_of("teacher", 0.99, seed=None),
        model_of("undistilled", 0.98, seed=None),
        model_of("trial", 0.7, seed=1, teacher_sparsity=0.0),
        model_of("sparse", 0.6, seed=1, teacher_sparsity=0.2),
        model_of("random", 0.9, seed=1, teacher_sparsity=0.2, baseline="random"),
    ]
    assert [model.folder for model in eligible(models)] == ["trial", "sparse"]
    assert [model.folder for model in eligible(models, fixed=True)] == ["sparse"]
    assert [model.folder for model in eligible(models[:3], fixed=True)] == ["trial"]
