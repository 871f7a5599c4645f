"""Metrics of several labels a row, compared with scikit-learn; the fast score and the threshold, with the metrics."""

import pytest
import sklearn.metrics
import torch

from stark.problems.label_metrics import METRICS, best_threshold, build_label_metrics, label_score_function

ORACLES = {
    "micro_f1": lambda labels, above: sklearn.metrics.f1_score(labels, above > 0, average="micro", zero_division=0),
    "macro_f1": lambda labels, above: sklearn.metrics.f1_score(labels, above > 0, average="macro", zero_division=0),
    "accuracy": lambda labels, above: sklearn.metrics.accuracy_score(labels, above > 0),
    "mean_average_precision": lambda labels, above: sklearn.metrics.average_precision_score(
        labels[:, labels.any(0)], above[:, labels.any(0)]
    ),
}


def rows(number=200, labels=5, *, seed=0):
    """Outputs, of which many are equal and some far from 0, and labels, of which the last one has no row."""
    generator = torch.Generator().manual_seed(seed)
    above = (torch.randn(number, labels, generator=generator) * 4).round() / 4
    above[::7] *= 40
    wanted = (torch.rand(number, labels, generator=generator) < 0.3).to(torch.int8)
    wanted[:, -1] = 0
    return above, wanted


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("number", [1, 8, 200])
def test_both_forms_are_sklearns(name, number):
    above, labels = rows(number)
    labels[0, 0] = 1
    metrics = build_label_metrics([name], 5)
    for part in torch.arange(number).split(64):
        metrics.update(above[part], labels[part])
    expected = pytest.approx(ORACLES[name](labels.numpy().astype(bool), above.numpy()), abs=1e-6)
    assert metrics.compute()[name].item() == expected
    assert label_score_function([name])(above, labels) == expected


@pytest.mark.parametrize("name", METRICS)
def test_rows_to_which_nothing_applies(name):
    above, labels = rows(6)[0], torch.zeros(6, 5, dtype=torch.int8)
    metrics = build_label_metrics([name], 5)
    metrics.update(above, labels)
    assert metrics.compute()[name].item() == pytest.approx(label_score_function([name])(above, labels))
    if name != "accuracy":
        assert label_score_function([name])(above, labels) == 0


def test_a_score_is_the_mean_and_an_unknown_metric_is_refused():
    above, labels = rows()
    each = [label_score_function([name])(above, labels) for name in METRICS]
    assert label_score_function(METRICS)(above, labels) == pytest.approx(sum(each) / 4)
    with pytest.raises(ValueError, match="unknown metric 'f1': choose out of micro_f1, macro_f1, accuracy, mean_aver"):
        build_label_metrics(["f1"], 5)


@pytest.mark.parametrize("names", [["micro_f1"], ["macro_f1"], ["accuracy"], ["mean_average_precision"]])
def test_no_hundredth_is_a_better_threshold(names):
    logits, labels = rows(seed=3)
    logits -= 1
    found = best_threshold(logits, labels, names)
    name = "micro_f1" if names == ["mean_average_precision"] else names[0]
    scores = {
        t: ORACLES[name](labels.numpy(), logits.sigmoid().double().numpy() - t)
        for t in (n / 100 for n in range(1, 100))
    }
    best = max(scores.values())
    assert scores[found] == pytest.approx(best)
    assert abs(found - 0.5) == min(
        abs(t - 0.5) for t, score in scores.items() if score == pytest.approx(best, abs=1e-12)
    )


def test_without_a_row_that_has_a_label_it_is_a_half():
    assert best_threshold(torch.randn(9, 3), torch.zeros(9, 3), ["micro_f1"]) == 0.5
