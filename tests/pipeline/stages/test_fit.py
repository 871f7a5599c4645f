"""A fit of a stage."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline.fits.lightning_cli import StarkCLI
from pipeline.stages.distil import distill, train_alone
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


@pytest.mark.parametrize(
    ("asked", "gpu", "accelerator", "devices", "expected"),
    [
        (False, True, "auto", 1, []),
        ("auto", True, "auto", 1, ["callbacks.CUDAGraphs"]),
        ("auto", True, "cpu", 1, []),
        ("auto", True, "gpu", 2, []),
        ("auto", False, "auto", 1, []),
        (True, False, "cpu", 2, ["callbacks.CUDAGraphs"]),  # which says why it does nothing
    ],
)
def test_graphs_are_used_where_they_are_asked_for(
    settings, tmp_path, monkeypatch, asked, gpu, accelerator, devices, expected
):
    monkeypatch.setattr("pipeline.stages.fit.CUDAAccelerator.is_available", lambda: gpu)
    commands = []
    monkeypatch.setattr("pipeline.stages.fit.StarkCLI", lambda command, *_: commands.append(command) or Empty())
    monkeypatch.setattr("pipeline.stages.fit.run_elsewhere", lambda command, *_, **__: commands.append(command))
    trainer = replace(settings.trainer, cuda_graphs=asked, accelerator=accelerator, devices=devices)
    train_alone(replace(settings, trainer=trainer), tmp_path / "fit", settings.model_name_or_path, [])
    config = yaml.safe_load((tmp_path / "fit/stage.yaml").read_text())
    assert [one["class_path"] for one in config["trainer"]["callbacks+"]] == expected
    assert len(commands) == 1


@pytest.fixture
def configs(monkeypatch):
    """The settings of fits, which are written and not run."""
    found = []

    def read(command, *_):
        found.append(yaml.safe_load(Path(command[2]).read_text()))
        return Empty()

    monkeypatch.setattr("pipeline.stages.fit.StarkCLI", read)
    return found


def test_averaged_weights_are_those_after_the_last_batch(settings, tmp_path, configs):
    settings = replace(settings, trainer=replace(settings.trainer, val_check_interval=3))
    settings.distillation.epochs = 1
    for weights in ("best", "averaged"):
        settings.distillation.weights = weights
        train_alone(settings, tmp_path / weights, settings.model_name_or_path, [])
    best, averaged = (config["trainer"] for config in configs)
    assert (best["callbacks+"], best["val_check_interval"]) == ([], 3)
    assert averaged["callbacks+"] == [{"class_path": "callbacks.AveragedWeights"}]
    assert averaged["val_check_interval"] is None


class Empty:
    """In the place of a command line that has run."""


@pytest.mark.parametrize(("steps", "accumulate", "expected"), [(None, 1, None), (100, 1, 34), (100, 4, 136)])
def test_a_length_in_steps_is_divided_into_epochs(settings, tmp_path, monkeypatch, steps, accumulate, expected):
    """Epochs of that many batches, so that the fit ends with an evaluation and has the same length for any rows."""
    monkeypatch.setattr("pipeline.stages.fit.StarkCLI", lambda *_: Empty())
    trainer = replace(settings.trainer, accumulate_grad_batches=accumulate)
    fit = replace(settings.distillation, epochs=3, steps=steps)
    distill(replace(settings, distillation=fit, trainer=trainer), tmp_path, tmp_path, tmp_path, [])
    config = yaml.safe_load((tmp_path / "stage.yaml").read_text())
    assert config["data"].get("batches_per_epoch") == expected
    assert config["trainer"]["max_epochs"] == 3
    train_alone(
        replace(settings, distillation=fit, trainer=trainer), tmp_path / "alone", Path(settings.model_name_or_path), []
    )
    alone = yaml.safe_load((tmp_path / "alone/stage.yaml").read_text())
    assert alone["data"].get("batches_per_epoch") == expected
