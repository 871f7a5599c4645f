"""Distillation of rows without labels, and with several cuts."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from cli import main
from lightning_modules.checkpoints import latest_checkpoint, read_checkpoint
from stark.encoders.layers import kept_units
from stark.model_folders.model_folder import load_classifier
from tests.pipeline.runs import options, read


def test_rows_without_a_label_are_for_distillation(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.execution.execute.drop_checkpoints", lambda *_: None)
    main(options(
        tiny_task, tmp_path, "--search.mode", "none", "--teacher.sparsities", "[0.2]", "--baselines", "[no_teacher]",
        "--data.labelled_limit", "32",
    ))  # fmt: skip
    run = tmp_path / "tiny"
    used, steps = {}, {}
    for name in ("finetune", "trial", "distill/0.5_0.2", "baselines/no_teacher"):
        used[name] = yaml.safe_load((run / name / "stage.yaml").read_text())["data"].get("use_unlabelled", False)
        steps[name] = read_checkpoint(latest_checkpoint(run / name / "checkpoints"), mapped=True)["global_step"]
    assert used == {"finetune": False, "trial": True, "distill/0.5_0.2": True, "baselines/no_teacher": False}
    assert steps["finetune"] == 2  # one epoch of 32 rows
    whole = steps["trial"]  # two epochs of all rows
    assert whole == steps["distill/0.5_0.2"] > 2 * 2
    assert abs(steps["baselines/no_teacher"] - whole) <= 2  # equally long, but in whole epochs


def test_answers_of_another_teacher_need_no_sparse_one(tiny_task, tmp_path, capsys):
    command = options(tiny_task, tmp_path, "--distillation.teacher_answers", "[answers.csv]")
    with pytest.raises(SystemExit):
        main(command)
    assert "distillation.teacher_answers take the place of the teacher: set teacher.sparsities to []" in (
        capsys.readouterr().err
    )
    with pytest.raises(SystemExit):
        main([*command, "--teacher.sparsities", "[]"])
    assert "answers.csv: no such file (a teacher's answers)" in capsys.readouterr().err


@pytest.mark.slow
def test_several_cuts_are_made_in_each_distillation(pruned_run, tiny_task, tmp_path, capsys):
    folder = Path(shutil.copytree(pruned_run, tmp_path / "tiny"))
    given = (
        "--student.cuts",
        "3",
        "--student.score",
        "stark.Imitation",
        "--teacher.sparsities",
        "[0.2]",
        "--baselines",
        "[no_teacher]",
    )
    command = options(tiny_task, tmp_path, *given)
    main([*command, "--dry-run"])
    shown = capsys.readouterr().out
    assert "trial" in shown
    assert "student.cuts" in shown
    capsys.readouterr()
    main(command)
    lines = [line for line in capsys.readouterr().out.splitlines() if "epoch 1 of 2" in line]
    # The last cut is made after half of the steps, at the first batch of the second epoch.
    assert [re.search(r"score [\d.]+, (.*?), loss", line)[1] for line in lines] == ["2 of 3 cuts"] * 3
    before, summary = read(pruned_run), read(folder)
    at_once = next(model for model in before["models"] if model["name"] == "student of dense teacher")
    students = [model for model in summary["models"] if model["seed"] is not None]
    assert [model["name"] for model in students] == [
        *("student of dense teacher", "student of sparse teacher", "no_teacher")
    ]
    for model in students:
        assert model["achieved"]["heads"] == at_once["achieved"]["heads"]
        assert model["achieved"]["neurons"] == pytest.approx(at_once["achieved"]["neurons"], abs=0.05)
        start = yaml.safe_load((folder / Path(model["folder"]).parent / "stage.yaml").read_text())["model"]["init_args"]
        assert start.get("student", start.get("model_name_or_path")) == str(folder / "finetune/model")
    kept = kept_units(load_classifier(folder / "student"))
    assert sum(map(len, kept.heads)) == 16 - round(0.7 * 16)
