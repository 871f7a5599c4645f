"""Users' own tasks: kinds of label and metrics."""

import json

import pytest

from datamodules.tasks.description import read_description
from datamodules.tasks.own import own_task
from tests.datamodules.tasks.test_description import GOOD


def described(path):
    description = read_description(path)
    return own_task(description, description.labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": ["f2"]}, r"metric 'f2' is not for 2 labels, choose out of accuracy, f1, matthews_corrcoef"),
        ({"labels": ["a", "b", "c"], "metrics": ["f1"]}, r"'f1' is not for 3 labels, choose out of accuracy, matthews"),
        ({"labels": ["score"], "metrics": ["accuracy"]}, r"is not for 1 labels, choose out of pearson, spearmanr"),
        ({"kind": "grades"}, r"mine\.yaml, line 1: there is no kind of label 'grades': choose one of classification"),
    ],
)
def test_kinds_and_metrics_that_do_not_fit(change, message, tmp_path):
    (tmp_path / "mine.yaml").write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(ValueError, match=message):
        described(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("change", "kind", "metrics"),
    [
        ({}, "classification", ("accuracy",)),
        ({"labels": ["stars"]}, "regression", ("pearson", "spearmanr")),
        ({"labels": ["stars"], "metrics": ["mae", "pearson"]}, "regression", ("mae", "pearson")),
    ],
)
def test_kinds_and_metrics(change, kind, metrics, tmp_path):
    (tmp_path / "mine.yaml").write_text(json.dumps({**GOOD, **change}))
    task = described(tmp_path / "mine.yaml")
    assert (task.problem.kind, task.metrics, task.description) == (kind, metrics, tmp_path / "mine.yaml")
