"""Metrics, compared with other libraries, and the fast score, compared with the metrics."""

import math
import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch

from datamodules import find_task
from stark.problems.metrics import build_metrics, computed, score_function, score_of
from stark.problems.score_names import score_names

ORACLES = {
    "accuracy": sklearn.metrics.accuracy_score,
    "f1": sklearn.metrics.f1_score,
    "matthews_corrcoef": sklearn.metrics.matthews_corrcoef,
    "macro_f1": lambda labels, predictions: sklearn.metrics.f1_score(labels, predictions, average="macro"),
    "weighted_f1": lambda labels, predictions: sklearn.metrics.f1_score(labels, predictions, average="weighted"),
    "balanced_accuracy": sklearn.metrics.balanced_accuracy_score,
    "mae": sklearn.metrics.mean_absolute_error,
    "rmse": sklearn.metrics.root_mean_squared_error,
    "pearson": lambda labels, predictions: scipy.stats.pearsonr(labels, predictions).statistic,
    "spearmanr": lambda labels, predictions: scipy.stats.spearmanr(labels, predictions).statistic,
}


@pytest.mark.parametrize("task", ["rte", "mrpc", "stsb", "sst2", "qnli", "qqp", "mnli", "mnlimm", "cola", "wnli"])
def test_metrics_are_sklearns(task):
    task = find_task(task)
    generator = np.random.default_rng(0)
    if not task.problem.has_classes:
        labels, predictions = generator.random(50) * 5, generator.random(50) * 5
    else:
        labels, predictions = generator.integers(task.num_labels, size=(2, 50))
    metrics = build_metrics(list(task.metrics), task.num_labels)
    for part in np.array_split(np.arange(50), 4):
        metrics.update(torch.from_numpy(predictions[part]), torch.from_numpy(labels[part]))
    found = metrics.compute()
    assert list(found) == list(task.metrics)
    for name, value in found.items():
        assert value.item() == pytest.approx(ORACLES[name](labels, predictions), abs=1e-6)


@pytest.mark.parametrize("num_labels", [2, 3, 7])
@pytest.mark.parametrize("name", ["macro_f1", "weighted_f1", "balanced_accuracy", "matthews_corrcoef"])
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_metrics_of_unequal_classes_are_sklearns(name, num_labels):
    """Also where a class has no row, is never predicted, or neither."""
    generator = np.random.default_rng(num_labels)
    for rows in (3, 9, 200):
        labels = generator.choice(num_labels, size=rows, p=np.arange(1, num_labels + 1) / sum(range(num_labels + 1)))
        predictions = generator.integers(num_labels, size=rows)
        metrics = build_metrics([name], num_labels)
        metrics.update(torch.from_numpy(predictions), torch.from_numpy(labels))
        expected = pytest.approx(ORACLES[name](labels, predictions), abs=1e-6)
        assert metrics.compute()[name].item() == expected
        assert score_function([name], num_labels)(torch.from_numpy(predictions), torch.from_numpy(labels)) == expected


@pytest.mark.parametrize("name", ["mae", "rmse"])
def test_errors_are_sklearns_and_no_part_of_the_score(name):
    labels, predictions = np.random.default_rng(0).random((2, 50))
    metrics = build_metrics(["pearson", name], 1)
    metrics.update(torch.from_numpy(predictions), torch.from_numpy(labels))
    values = computed(metrics)
    assert values[name].item() == pytest.approx(ORACLES[name](labels, predictions), abs=1e-6)
    assert score_of(values, score_names(list(values))) == values["pearson"]


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="unknown metric 'recall': choose out of accuracy, balanced_accuracy, f1"):
        build_metrics(["accuracy", "recall"], 2)


CLASSES = {
    "f1": (2,),
    **dict.fromkeys(("accuracy", "matthews_corrcoef", "macro_f1", "weighted_f1", "balanced_accuracy"), (2, 3)),
}


def scored_both_ways(name, num_labels, predicted, labels):
    """Check that the metric of a validation, batch by batch, equals the score function of the bootstrap."""
    metrics = build_metrics([name], num_labels)
    for part in torch.arange(len(labels)).split(4):
        metrics.update(predicted[part], labels[part])
    found = score_of(computed(metrics), [name]).item()
    assert score_function([name], num_labels)(predicted, labels) == pytest.approx(found, abs=1e-6)
    return found


@pytest.mark.parametrize(("name", "classes"), [(name, classes) for name in CLASSES for classes in CLASSES[name]])
@pytest.mark.parametrize("case", ["all right", "all wrong", "constant prediction", "constant label", "one row"])
def test_degenerate_classes_are_scored_as_sklearn_does(name, classes, case):
    labels = (torch.arange(12) % 5).clamp(max=classes - 1)  # classes of unequal sizes
    predicted = {
        "all right": labels,
        "all wrong": (labels + 1) % classes,
        "constant prediction": torch.ones_like(labels),
        "constant label": labels,
        "one row": labels[:1],
    }[case]
    labels = torch.ones_like(labels) if case == "constant label" else labels[: len(predicted)]
    options = {"zero_division": 0} if name == "f1" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a single label
        expected = ORACLES[name](labels, predicted, **options)
    assert scored_both_ways(name, classes, predicted, labels) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["pearson", "spearmanr"])
def test_correlations_are_scipys(name):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(6, (3000,), generator=generator).float()  # with ties
    for predicted in (
        labels,
        -labels,
        labels + torch.rand(3000, generator=generator),
        torch.where(torch.arange(3000) == 7, 1e4, labels),  # far from the others
        1e6 + labels,  # a mean far from 0
    ):
        expected = ORACLES[name](labels.double(), predicted.double())
        assert scored_both_ways(name, 1, predicted, labels) == pytest.approx(expected, abs=1e-6)


def test_ranks_do_not_overflow():
    """Half of the rows have ties, and the sum of their ranks exceeds 32 bits."""
    labels = torch.arange(200_000.0)
    predicted = (labels - 100_000).clamp(min=0)
    expected = scipy.stats.spearmanr(labels, predicted).statistic
    assert score_function(["spearmanr"], 1)(predicted, labels) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["pearson", "spearmanr"])
def test_an_undefined_correlation_is_zero(name):
    labels = torch.arange(60.0)
    for value in (math.nan, math.inf, -math.inf):
        assert scored_both_ways(name, 1, torch.where(labels == 7, value, labels), labels) == 0
    # The mean of these equal values, computed in any precision, differs from them.
    assert scored_both_ways(name, 1, torch.full_like(labels, 0.1), labels) == 0
    assert scored_both_ways(name, 1, labels, torch.full_like(labels, 0.1)) == 0
    assert scored_both_ways(name, 1, labels[:1], labels[:1]) == 0


@pytest.mark.parametrize(
    ("names", "num_labels"),
    [(["accuracy"], 3), (["accuracy", "f1"], 2), (["matthews_corrcoef"], 2), (["pearson", "spearmanr"], 1)],
)
def test_the_quick_score_is_that_of_the_metrics(names, num_labels):
    generator = torch.Generator().manual_seed(0)
    if num_labels == 1:
        labels = torch.rand(60, generator=generator)
        predicted = labels + torch.rand(60, generator=generator)
    else:
        predicted, labels = torch.randint(num_labels, (2, 60), generator=generator)
    metrics = build_metrics(names, num_labels)
    metrics.update(predicted, labels)
    score = score_function(names, num_labels)
    assert score(predicted, labels) == pytest.approx(float(score_of(computed(metrics), names)))
