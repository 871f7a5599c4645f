"""Metrics against other libraries, and the quick score against them."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch

from datamodules import find_task
from lightning_modules.metrics import build_metrics, computed, score_function, score_of

ORACLES = {
    "accuracy": sklearn.metrics.accuracy_score,
    "f1": sklearn.metrics.f1_score,
    "matthews_corrcoef": sklearn.metrics.matthews_corrcoef,
    "pearson": lambda labels, predictions: scipy.stats.pearsonr(labels, predictions).statistic,
    "spearmanr": lambda labels, predictions: scipy.stats.spearmanr(labels, predictions).statistic,
}


@pytest.mark.parametrize("task", ["rte", "mrpc", "stsb", "sst2", "qnli", "qqp", "mnli", "mnlimm", "cola", "wnli"])
def test_metrics_are_sklearns(task):
    task = find_task(task)
    generator = np.random.default_rng(0)
    if task.is_regression:
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


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="unknown metric 'recall': choose out of accuracy, f1"):
        build_metrics(["accuracy", "recall"], 2)


@pytest.mark.filterwarnings("ignore:The variance of predictions or target")
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
    assert score(predicted, labels) == pytest.approx(float(score_of(computed(metrics))))
    assert score(torch.zeros_like(predicted), labels) >= 0  # where a correlation is undefined it is 0
