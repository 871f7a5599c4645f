import shutil

import pytest

from pipeline.results.summary import Summary
from pipeline.sweep import objectives
from pipeline.sweep.objectives import COSTS, OBJECTIVES, measure_student
from stark.forward.latency import Latency
from tests.pipeline.runs import model_of, summary_of


@pytest.fixture
def run(tiny_task, tmp_path, monkeypatch):
    """A folder with a student, and the results of a run with two seeds."""
    shutil.copytree(tiny_task.teacher, tmp_path / "student")
    models = [
        model_of(name="dense teacher", score=1.0),
        model_of(name="student", score=0.5, seed=1),
        model_of(name="student", score=0.0, seed=1, baseline="random"),
        model_of(name="student", score=0.9, seed=1, teacher_sparsity=0.2),
        model_of(name="student", score=0.75, seed=2, parameters=30, encoder_parameters=20),
    ]
    monkeypatch.setattr(Summary, "read", lambda _: summary_of(*models))
    return tmp_path


def test_the_score_is_the_mean_over_seeds_and_costs_are_those_of_the_student(run, monkeypatch):
    monkeypatch.setattr(objectives, "measure_latency", lambda *_: {"student": Latency(2.0, 1.0, 4.0)})
    size = sum(file.stat().st_size for file in (run / "student").iterdir()) / 1e6
    assert measure_student(run, OBJECTIVES) == {
        "score": 0.625,
        "parameters": 30,
        "encoder_parameters": 20,
        "megabytes": pytest.approx(size, abs=0.005),
        "latency": 2.0,
    }


def test_latency_is_measured_only_if_it_is_asked_for(run, monkeypatch):
    monkeypatch.setattr(objectives, "measure_latency", lambda *_: pytest.fail("measured"))
    assert list(measure_student(run, ["megabytes", "score"])) == ["score", "megabytes"]


def test_the_latency_is_that_of_one_row_of_the_longest_length(run, monkeypatch):
    seen = []

    def measure(models, rows, length):
        seen.append((rows, length))
        return dict.fromkeys(models, Latency(2.0, 1.0, 4.0))

    monkeypatch.setattr(objectives, "measure_latency", measure)
    assert measure_student(run, COSTS)["latency"] == 2.0
    ((rows, length),) = seen
    assert rows == 1
    assert length <= 128
