"""A fit of a stage."""

import yaml

from pipeline.fits.lightning_cli import StarkCLI
from pipeline.stages.distil import distill
from tests.pipeline.runs import same_weights


def test_a_fit_can_be_repeated_by_its_yaml(settings, tiny_task, tmp_path):
    settings.distillation.epochs = 1
    distill(settings, tmp_path / "trial", tiny_task.teacher, tiny_task.teacher, [])
    command = (tmp_path / "trial/stage.yaml").read_text().splitlines()[0]
    assert command == f"# stark fit --config {tmp_path / 'trial/stage.yaml'}"
    config = yaml.safe_load((tmp_path / "trial/stage.yaml").read_text())
    assert config["model"]["init_args"]["teacher"] == str(tiny_task.teacher)
    again = [
        "fit",
        "--config",
        str(tmp_path / "trial/stage.yaml"),
        "--trainer.default_root_dir",
        str(tmp_path / "again"),
    ]
    StarkCLI(again)
    assert same_weights(tmp_path / "trial/model", tmp_path / "again/model")


def test_a_fit_whose_checkpoints_are_damaged_starts_anew(settings, tiny_task, tmp_path, caplog):
    settings.distillation.epochs = 1
    for resume in (False, True):
        distill(settings, tmp_path / "trial", tiny_task.teacher, tiny_task.teacher, [], resume)
        weights = (tmp_path / "trial/model/model.safetensors").read_bytes()
        for path in (tmp_path / "trial/checkpoints").iterdir():
            path.write_bytes(path.read_bytes()[:1000])
        (tmp_path / "trial/output.log").write_text("of the first time")
    assert "best.ckpt is no checkpoint, or damaged" in caplog.text
    distill(settings, tmp_path / "trial", tiny_task.teacher, tiny_task.teacher, [], resume=True)
    assert (tmp_path / "trial/model/model.safetensors").read_bytes() == weights
    assert not (tmp_path / "trial/output.log").exists()
