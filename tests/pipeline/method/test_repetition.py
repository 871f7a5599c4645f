"""The modes of the search, compared with an exhaustive run of the same candidates."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from cli import main
from pipeline.execution.manifest import Manifest
from pipeline.method import repetition
from tests.passing import unreadable
from tests.pipeline.runs import options, read, without_seconds

STUDENTS = ("distill/0.5_0.2", "distill/0.5_0.4")


def search_of(folder: Path) -> dict:
    return json.loads((folder / "search.json").read_text())


def student_weights(folder: Path, student: str) -> bytes:
    return (folder / student / "model/model.safetensors").read_bytes()


@pytest.mark.slow
def test_halving_ends_with_the_student_of_an_exhaustive_search(scored, pruned_run, tiny_task, tmp_path, trained):
    main(options(tiny_task, tmp_path, "--search.mode", "halving"))
    search = search_of(scored)
    (chosen,) = search["chosen"]
    assert trained == [(STUDENTS[0], 1), (STUDENTS[1], 1), (f"distill/{chosen}", None)]
    rounds = {f"{c['lam']:g}_{c['sparsity']:g}": c["rounds"] for c in search["candidates"]}
    assert all([entry["epochs"] for entry in found] == [1] for found in rounds.values())
    assert chosen == max(rounds, key=lambda name: rounds[name][0]["score"])  # of equals the first, denser one
    assert student_weights(scored, f"distill/{chosen}") == student_weights(pruned_run, f"distill/{chosen}")
    assert [model["folder"] for model in read(scored)["models"][3:]] == [f"distill/{chosen}/model"]
    (loser,) = {name.removeprefix("distill/") for name in STUDENTS} - {chosen}
    assert not (scored / "distill" / loser / "model").exists()
    assert not list(scored.rglob("*.ckpt"))
    # A truncated or edited search.json is created again without training.
    for damaged in ((scored / "search.json").read_text()[:50], json.dumps({**search, "chosen": [loser]}), "null"):
        (scored / "search.json").write_text(damaged)
        main(options(tiny_task, tmp_path, "--search.mode", "halving"))
        assert search_of(scored) == search
    assert len(trained) == 3


@pytest.mark.slow
def test_interrupted_halving_loses_nothing(scored, tiny_task, tmp_path, trained, monkeypatch):
    command = options(tiny_task, tmp_path, "--search.mode", "halving")

    class PowerCutError(Exception):
        pass

    def cut(*_: object) -> None:
        raise PowerCutError

    with monkeypatch.context() as broken:
        broken.setattr(repetition.Repetition, "_write_search", cut)
        with pytest.raises(PowerCutError):
            main(command)
    assert len(trained) == 2
    for student in STUDENTS:  # an unreadable checkpoint must not make its student lose
        with unreadable(f"{student}/checkpoints/last.ckpt", errno.EMFILE), pytest.raises(SystemExit, match="2"):
            main(command)
    assert len(trained) == 2
    main(command)
    assert len(trained) == 3  # only the chosen one still had to be trained
    search = search_of(scored)
    whole = (scored / "search.json").read_bytes()
    (scored / "search.json").write_bytes(whole[:50])  # it is created again from the scores
    main(command)
    assert len(trained) == 3
    assert search_of(scored) == search


@pytest.mark.slow
def test_another_halving_knows_what_was_scored_before(scored, tiny_task, tmp_path, trained):
    main(options(tiny_task, tmp_path, "--search.mode", "halving"))
    search = search_of(scored)
    trained.clear()
    main(options(tiny_task, tmp_path, "--search.mode", "halving", "--search.eta", "3"))
    assert trained == []
    assert search_of(scored) == search


@pytest.mark.slow
def test_halving_knows_what_finished_students_scored(pruned_run, scored, tiny_task, tmp_path, trained):
    main(options(tiny_task, tmp_path, "--search.mode", "halving"))
    search = search_of(scored)
    finished = Path(shutil.copytree(pruned_run, tmp_path / "finished/tiny"))
    trained.clear()
    main(options(tiny_task, tmp_path / "finished", "--search.mode", "halving"))
    assert trained == []
    assert search_of(finished) == search
    # A candidate whose scores are lost is trained again.
    manifest = Manifest.read(finished)
    manifest.stages[STUDENTS[1]].val_scores = []
    manifest.forget({"search"})
    manifest.write()
    main(options(tiny_task, tmp_path / "finished", "--search.mode", "halving"))
    assert trained[0] == (STUDENTS[1], 1)
    assert {name for name, _ in trained} == {STUDENTS[1]}
    assert search_of(finished) == search


def test_a_candidate_without_scores_is_an_error(scored, tiny_task, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pipeline.stages.distil.distill", lambda *_, **__: None)  # leaves no checkpoint
    with pytest.raises(SystemExit, match="2"):
        main(options(tiny_task, tmp_path, "--search.mode", "halving"))
    assert "the scores of its first 1 epochs are lost" in capsys.readouterr().err
    assert not (scored / "search.json").exists()


@pytest.mark.slow
def test_halving_goes_on_to_an_exhaustive_search(scored, pruned_run, tiny_task, tmp_path, trained):
    main(options(tiny_task, tmp_path, "--search.mode", "halving"))
    main(options(tiny_task, tmp_path))
    assert len(trained) == 4
    assert without_seconds(read(scored)) == without_seconds(read(pruned_run))


def test_without_a_search(scored, tiny_task, tmp_path, trained):
    main(options(tiny_task, tmp_path, "--search.mode", "none", "--teacher.sparsities", "[0.2]"))
    assert trained == [("distill/0.5_0.2", None)]
    assert read(scored)["best"]["folder"] == "distill/0.5_0.2/model"
    assert not (scored / "search.json").exists()


@pytest.mark.slow
def test_a_grid_of_lams(scored, tiny_task, tmp_path, trained):
    main(options(tiny_task, tmp_path, "--teacher.lams", "[0.0,1.0]", "--teacher.sparsities", "[0.2]"))
    assert trained == [("distill/0_0.2", None), ("distill/1_0.2", None)]
    found = [(model["lam"], model["teacher_sparsity"]) for model in read(scored)["models"]]
    assert found == [(None, None), (None, None), (None, 0.0), (0.0, 0.2), (1.0, 0.2)]


@pytest.mark.parametrize("mode", ["exhaustive", "predict", "none"])
def test_without_sparse_teachers_the_trial_is_the_result(pruned_run, tiny_task, tmp_path, capsys, mode):
    """A run without candidates does not score the teacher."""
    shutil.copytree(pruned_run, tmp_path / "tiny")
    command = options(tiny_task, tmp_path, "--search.mode", mode, "--teacher.sparsities", "[]")
    main([*command, "--dry-run"])
    shown = capsys.readouterr().out
    assert "trial" in shown
    assert "sparsify" not in shown
    main(command)
    summary = read(tmp_path / "tiny")
    assert [model["name"] for model in summary["models"]][2:] == ["student of dense teacher"]
    assert summary["best"]["folder"] == "trial/model"
    assert student_weights(tmp_path / "tiny", "trial") == student_weights(pruned_run, "trial")
