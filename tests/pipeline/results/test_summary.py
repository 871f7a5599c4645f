"""``summary.json`` of a finished run and one written by hand; test_evaluate.py tests the choice of the student."""

import json
import shutil
from dataclasses import replace

import pytest

from pipeline.results.statistics import Estimate
from pipeline.results.summary import Alternative, Asked, Choice, Comparison, Model, Removed, Summary
from stark.storage import DamagedError, write_json
from tests.pipeline.runs import leave, model_of, read, summary_of

DENSE = {
    "name": "dense teacher",
    "folder": "finetune/model",
    "asked": {"sparsity": 0.0, "layers": None},
    "seed": None,
    "teacher_sparsity": None,
    "lam": None,
    "baseline": None,
    "seconds": 3,
    "selection": {"accuracy": 0.5, "score": 0.5},
    "parameters": 7,
    "encoder_parameters": 5,
    "achieved": {"heads": 0.0, "neurons": 0.0},
    "dev": {"accuracy": 0.75, "score": 0.75},
}
STUDENT = {
    **{key: DENSE[key] for key in ("name", "folder", "asked")},
    **{"seed": 1, "teacher_sparsity": 0.1, "lam": 0.5, "baseline": None, "seconds": 2.5},
    "teacher_folder": "sparsify/0.5_0.1",
    **{key: DENSE[key] for key in ("selection", "parameters", "encoder_parameters", "achieved")},
    "teacher_achieved": {"heads": 0.125, "neurons": 0.25},
    "dev": DENSE["dev"],
}
VALUES = {
    "schema": 3,
    "task": "rte",
    "metric": "score",
    "seed": 776,
    "search": "exhaustive",
    "models": [DENSE, STUDENT],
    "best": STUDENT,
    "best_by_method": [{"seed": 1, "dense_teacher": "trial/model", "sparse_teacher": "distill/0.5_0.1/model"}],
    "comparisons": [
        {"control": "dense_teacher", "treated": "sparse_teacher", "points": {"value": 1.5, "low": -1, "high": 2.0}},
        {
            **{"control": "random", "treated": "sparse_teacher", "points": {"value": 0.0, "low": 0.0, "high": 0.0}},
            "mcnemar": [1.0],
        },
    ],
}


def test_the_file_of_a_finished_run_is_what_its_summary_gives(pruned_run, tmp_path):
    summary = Summary.read(pruned_run)
    summary.write(tmp_path)
    assert (tmp_path / "summary.json").read_bytes() == (pruned_run / "summary.json").read_bytes()
    write_json(tmp_path / "again.json", summary.to_json())
    assert (tmp_path / "again.json").read_bytes() == (pruned_run / "summary.json").read_bytes()
    found = read(pruned_run)
    assert summary.best.dev_score == found["best"]["dev"]["score"]
    assert [model.folder for model in summary.models] == [model["folder"] for model in found["models"]]


def test_every_value_has_its_place():
    summary = Summary.of_json(VALUES)
    dense, student = summary.models
    assert dense == Model(
        name="dense teacher",
        folder="finetune/model",
        asked=Asked(0.0, None),
        seed=None,
        teacher_sparsity=None,
        lam=None,
        baseline=None,
        seconds=3,
        selection={"accuracy": 0.5, "score": 0.5},
        parameters=7,
        encoder_parameters=5,
        achieved=Removed(0.0, 0.0),
        dev={"accuracy": 0.75, "score": 0.75},
    )
    assert (dense.selection_score, dense.dev_score) == (0.5, 0.75)
    assert (student.teacher_folder, student.teacher_achieved) == ("sparsify/0.5_0.1", Removed(0.125, 0.25))
    assert summary.best == student
    assert summary.best_by_method == [
        Choice(1, {"dense_teacher": "trial/model", "sparse_teacher": "distill/0.5_0.1/model"})
    ]
    assert summary.comparisons == [
        Comparison("dense_teacher", "sparse_teacher", Estimate(1.5, -1, 2.0)),
        Comparison("random", "sparse_teacher", Estimate(0.0, 0.0, 0.0), [1.0]),
    ]
    assert (summary.metrics, summary.has_seeds) == (["accuracy"], False)
    assert replace(summary, best_by_method=summary.best_by_method * 2).has_seeds
    # The text is compared, so that the order of the file is kept, and 3 stays 3.
    assert json.dumps(summary.to_json()) == json.dumps(VALUES)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda values: values.pop("task"), "task is missing"),
        (lambda values: values.update(extra=1), "extra is unknown"),
        (lambda values: values["models"][1].pop("dev"), "models[1].dev is missing"),
        (lambda values: values["models"][0].update(teacher="x"), "models[0].teacher is unknown"),
        (lambda values: values["best"]["achieved"].pop("heads"), "best.achieved.heads is missing"),
        (lambda values: values["best"]["selection"].update(score="0.5"), "best.selection.score is '0.5'"),
        (lambda values: values["best"].update(seconds=True), "best.seconds is 'True'"),
        (lambda values: values["best"].update(parameters=7.5), "best.parameters is '7.5'"),
        (lambda values: values["best"].update(folder=None), "best.folder is 'None'"),
        (lambda values: values["best_by_method"][0].pop("seed"), "best_by_method[0].seed is missing"),
        (lambda values: values["best_by_method"][0].update(random=3), "best_by_method[0].students.random is '3'"),
        (lambda values: values["best_by_method"].append(3), "best_by_method[1] is '3'"),
        (lambda values: values["comparisons"][0]["points"].update(low=None), "comparisons[0].points.low is 'None'"),
        (lambda values: values.update(models={}), "models is '{}'"),
    ],
)
def test_what_a_summary_is_not(pruned_run, tmp_path, change, reason):
    values = json.loads(json.dumps(VALUES))
    run = tmp_path / "run"
    shutil.copytree(pruned_run, run, ignore=shutil.ignore_patterns("*.safetensors", "checkpoints"))
    leave(run, "summary.json", json.dumps(values))
    assert Summary.read(run) == Summary.of_json(VALUES)
    change(values)
    leave(run, "summary.json", json.dumps(values))
    with pytest.raises(DamagedError) as raised:
        Summary.read(run)
    start = f"{run / 'summary.json'} is no summary of a run ("
    assert str(raised.value).startswith(start)
    assert str(raised.value).removeprefix(start).startswith(reason)
    assert str(raised.value).endswith("): give the run's command again to rebuild it")


def test_another_version_and_a_changed_file_are_refused(pruned_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(pruned_run, run, ignore=shutil.ignore_patterns("*.safetensors", "checkpoints"))
    leave(run, "summary.json", json.dumps({**VALUES, "schema": 1}))
    with pytest.raises(ValueError, match="has schema 1, this version reads 3"):
        Summary.read(run)
    (run / "summary.json").write_text(json.dumps(VALUES))
    with pytest.raises(DamagedError, match="is damaged or was changed"):
        Summary.read(run)


def test_a_summary_without_alternatives_of_an_earlier_version_is_read(pruned_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(pruned_run, run, ignore=shutil.ignore_patterns("*.safetensors", "checkpoints"))
    leave(run, "summary.json", json.dumps({**VALUES, "schema": 2}))
    summary = Summary.read(run)
    assert summary == Summary.of_json(VALUES)
    assert (summary.alternatives, summary.over_teacher) == (None, None)


def test_an_alternative_is_kept():
    points = Estimate(-1.5, -3.0, 0.0)
    values = {"accuracy": 0.5, "score": 0.5}
    known = {"name": "TF-IDF", "folder": "alternatives/tfidf", "rows": 100, "megabytes": 0.5}
    found = Alternative(**known, selection=values, dev=values, over_teacher=points, over_student=points)
    summary = summary_of(alternatives=[found], over_teacher=points)
    assert Summary.of_json(json.loads(json.dumps(summary.to_json()))) == summary
    assert (found.selection_score, "strength" in summary.to_json()["alternatives"][0]) == (0.5, False)


def test_what_is_not_there_is_left_out():
    content = summary_of(model_of()).to_json()
    assert "teacher_folder" not in content["best"]
    assert "teacher_achieved" not in content["best"]
    assert content["best"]["lam"] is None
