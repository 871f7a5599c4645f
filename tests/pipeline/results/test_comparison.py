"""Comparing methods, on artificial logits."""

import pytest
import torch

from pipeline.results.comparison import best_by_method, compare
from pipeline.results.statistics import mcnemar
from pipeline.results.summary import Choice
from tests.pipeline.runs import model_of
from tests.tiny import problem


def model(folder, seed, score, baseline=None):
    return model_of(folder, score, seed=seed, baseline=baseline)


def logits_of(right, labels):
    """Logits of a model that is right on these rows."""
    return torch.nn.functional.one_hot(torch.where(right, labels, 1 - labels), 2).float()


MODELS = [
    model("teacher", None, 0.99),
    *(model(f"{seed}/trial", seed, 0.7) for seed in ()),
    model("1/trial", 1, 0.7),
    model("1/a", 1, 0.6),
    model("1/b", 1, 0.65),
    model("1/again", 1, 0.8, "dense_teacher_best_of_k"),
    model("2/trial", 2, 0.7),
    model("2/a", 2, 0.9),
    model("2/b", 2, 0.9),
    model("2/again", 2, 0.5, "dense_teacher_best_of_k"),
]


def test_best_by_method_is_by_seed_and_selection():
    assert best_by_method(MODELS, ["dense_teacher_best_of_k"]) == [
        Choice(
            1,
            {
                "dense_teacher": "1/trial",
                "sparse_teacher": "1/b",
                "dense_teacher_best_of_k": "1/again",
                "dense_or_sparse_teacher": "1/trial",
            },
        ),
        Choice(
            2,
            {
                "dense_teacher": "2/trial",
                "sparse_teacher": "2/a",
                "dense_teacher_best_of_k": "2/trial",
                "dense_or_sparse_teacher": "2/a",
            },
        ),
    ]


def test_without_candidates_there_is_nothing_to_compare():
    best = best_by_method([model("trial", 1, 0.5)], [])
    assert best == [Choice(1, {"dense_teacher": "trial"})]
    assert compare(best, {}, torch.zeros(3), problem(), []) == []


def test_differences_are_in_points_over_all_seeds():
    labels = torch.arange(40) % 2
    rows = torch.arange(40)
    right = {"1/trial": rows < 20, "2/trial": rows < 22, "1/b": rows < 30, "2/a": rows < 20, "1/again": rows < 35}
    said = {folder: logits_of(hits, labels).argmax(-1) for folder, hits in right.items()}
    best = best_by_method(MODELS, ["dense_teacher_best_of_k"])
    dense, best_of_k = compare(best, said, labels, problem(), ["accuracy"])
    assert (dense.control, best_of_k.control) == ("dense_teacher", "dense_teacher_best_of_k")
    assert dense.points.value == pytest.approx(100 * (50 - 42) / 80)
    # With as many choices as the other: with seed 1 the dense teacher's student is the better one.
    assert (dense.treated, best_of_k.treated) == ("sparse_teacher", "dense_or_sparse_teacher")
    assert best_of_k.points.value == pytest.approx(100 * (20 + 20 - 57) / 80)
    assert dense.points.low < dense.points.value < dense.points.high
    assert dense.mcnemar[0] == mcnemar(said["1/trial"], said["1/b"], labels)
    assert len(dense.mcnemar) == 2


def test_regression_has_no_test_of_mcnemar():
    labels = torch.arange(10.0)
    said = {folder: labels + noise for folder, noise in (("1/trial", torch.rand(10)), ("1/b", 0.0))}
    (found,) = compare(best_by_method(MODELS[:4], []), said, labels, problem(1), ["pearson", "spearmanr"])
    assert found.mcnemar is None
    assert found.points.value > 0
