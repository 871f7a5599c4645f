"""Distillation of rows without labels."""

import pytest
import yaml

from cli import main
from lightning_modules.checkpoints import latest_checkpoint, read_checkpoint
from tests.pipeline.runs import options


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
