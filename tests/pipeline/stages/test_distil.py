"""Distillation of rows without labels."""

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
