"""The metrics that make a score."""

import pytest

from stark.problems.score_names import score_names


def test_all_but_errors():
    assert score_names(["pearson", "rmse", "spearmanr", "mae"]) == ["pearson", "spearmanr"]
    assert score_names(["accuracy", "macro_f1"], "macro_f1") == ["macro_f1"]


def test_what_makes_no_score_is_refused():
    with pytest.raises(ValueError, match="metrics are mae, rmse: these are errors"):
        score_names(["mae", "rmse"])
    with pytest.raises(ValueError, match="select_by is 'f1': choose one of the task's metrics, accuracy"):
        score_names(["accuracy"], "f1")
    with pytest.raises(ValueError, match="select_by is 'mae'"):
        score_names(["pearson", "mae"], "mae")
