"""LightningCLI with our modules: linked arguments, logging, and resuming."""

import csv
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import wandb
import yaml
from pytorch_lightning import Trainer

from cli import main
from lightning_modules import DistillationModule
from pipeline.fits import lightning_cli
from pipeline.fits.lightning_cli import StarkCLI
from pipeline.parsing.yaml_text import CONFIGS


@pytest.fixture
def fit(tiny_task, tmp_path):
    """Arguments of a quick fit in tmp_path/fit."""
    return [
        *("fit", "--config", "configs/finetune.yaml", "--model.model_name_or_path", str(tiny_task.encoder)),
        *("--data.task", "stsb", "--data.data_dir", str(tiny_task.data_dir), "--data.cache_dir", str(tiny_task.cache)),
        *("--data.batch_size", "16", "--trainer.max_epochs", "2", "--trainer.default_root_dir", str(tmp_path / "fit")),
        *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"),
        *("--trainer.log_every_n_steps", "1"),
    ]


def test_labels_metrics_seed_and_tokenizer_are_typed_once(fit, tiny_task):
    cli = StarkCLI([*fit, "--seed_everything", "12", "--trainer.fast_dev_run", "true"])
    assert cli.model.label_names == ["similarity"]
    assert cli.model.classifier.config.num_labels == 1
    assert set(cli.model.val_metrics) == {"pearson", "spearmanr"}
    assert cli.datamodule.seed == 12
    assert cli.datamodule.model_name_or_path == str(tiny_task.encoder)


@pytest.mark.parametrize(("given", "understood"), [("1", 1), ("0.5", 0.5)])
def test_whole_numbers_are_numbers_of_batches(fit, monkeypatch, given, understood):
    # The order of the union if another module has written it first.
    monkeypatch.setitem(Trainer.__init__.__annotations__, "limit_train_batches", float | int | None)
    cli = StarkCLI([*fit, "--trainer.limit_train_batches", given, "--trainer.fast_dev_run", "true"])
    found = cli.config.fit.trainer.limit_train_batches
    assert (type(found), found) == (type(understood), understood)


def test_resumed_fit_keeps_the_metrics_and_the_config(fit, tmp_path, monkeypatch):
    class PowerCutError(Exception):
        pass

    def cut(*_: object) -> None:
        raise PowerCutError

    with monkeypatch.context() as broken:
        broken.setattr("lightning_modules.FinetuningModule.on_train_epoch_end", cut)
        with pytest.raises(PowerCutError):
            main(fit)
    folder = tmp_path / "fit"
    config = (folder / "config.yaml").read_text()
    main([*fit, "--ckpt_path", str(folder / "checkpoints/last.ckpt")])
    assert (folder / "config.yaml").read_text() == config
    texts = [(folder / name).read_text().splitlines() for name in ("metrics.0.csv", "metrics.csv")]
    rows = [list(csv.DictReader(lines)) for lines in texts]
    losses = [[int(row["step"]) for row in part if row.get("train/loss")] for part in rows]
    steps = [*losses[0], *losses[1]]
    assert steps == sorted(set(steps))  # no step twice; only the interrupted epoch's last steps are missing


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the loggers cause warnings
@pytest.mark.parametrize(
    ("title", "left"),
    [
        ("tensorboard.yaml", "logs/mrpc/version_0/events.out.*"),
        ("wandb.yaml", "logs/wandb/offline-run-*/*.wandb"),
        ("mlflow.yaml", "mlflow.db"),
    ],
)
def test_loggers_as_documented_leave_checkpoints_where_they_are(title, left, fit, tmp_path, monkeypatch):
    page = (CONFIGS.parent / "docs/run.md").read_text(encoding="utf-8")
    wandb.teardown()  # its process takes relative paths from the folder in which it started
    monkeypatch.chdir(tmp_path)
    Path("logger.yaml").write_text(page.split(f'title="{title}"\n')[1].split("```")[0])
    main([*fit, "--config", "logger.yaml", "--trainer.max_epochs", "1"])
    wandb.teardown()  # otherwise the next test would use this run
    assert {file.name for file in (tmp_path / "fit/checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert list(tmp_path.glob(left))
    assert {file.parent for file in tmp_path.rglob("*.ckpt")} == {tmp_path / "fit/checkpoints"}


@pytest.mark.parametrize("first", [True, False])
def test_only_the_first_process_moves_the_metrics_away(first, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.fits.lightning_cli.read_checkpoint", lambda *_, **__: {})
    for name in ("metrics.csv", "last.ckpt"):
        (tmp_path / name).touch()
    trainer = SimpleNamespace(default_root_dir=tmp_path, is_global_zero=first, fast_dev_run=False)
    with ExitStack() as held:
        options = {"ckpt_path": tmp_path / "last.ckpt"}
        StarkCLI.before_fit(SimpleNamespace(trainer=trainer, config_init={"fit": options}, _held=held))
    assert (tmp_path / "metrics.0.csv").exists() == first
    assert (tmp_path / "metrics.csv").exists() != first


def test_saved_config_gives_the_same_fit_again(fit, tmp_path, tiny_task):
    main(fit)
    saved = yaml.safe_load((tmp_path / "fit/config.yaml").read_text())
    assert saved["data"]["task"] == "stsb"
    main(["fit", "--config", str(tmp_path / "fit/config.yaml"), "--trainer.default_root_dir", str(tmp_path / "again")])
    first, second = ((tmp_path / name / "model/model.safetensors").read_bytes() for name in ("fit", "again"))
    assert first == second


def test_a_checkpoint_is_tested_with_its_own_settings(fit, tiny_task, tmp_path, capsys):
    main([*fit, "--model.weight_decay", "0.5"])
    checkpoint = str(tmp_path / "fit/checkpoints/best.ckpt")
    data = [option for option in fit[fit.index("--data.task") : fit.index("--trainer.max_epochs")]]
    main(
        [
            "test",
            "--config",
            "configs/test.yaml",
            *data,
            "--ckpt_path",
            checkpoint,
            "--model.model_name_or_path",
            str(tiny_task.encoder),
            "--trainer.enable_progress_bar",
            "false",
        ]
    )
    assert "test/pearson" in capsys.readouterr().out


def test_distillation_takes_the_students_tokenizer(fit, tiny_task):
    cli = StarkCLI(
        [
            *("fit", "--config", "configs/distill.yaml", "--model.teacher", str(tiny_task.teacher), "--model.student"),
            *(str(tiny_task.teacher), "--data.task", "sst2", "--data.data_dir", str(tiny_task.data_dir)),
            *("--data.cache_dir", str(tiny_task.cache), "--trainer.fast_dev_run", "true"),
        ]
    )
    assert isinstance(cli.model, DistillationModule)
    assert cli.datamodule.model_name_or_path == str(tiny_task.teacher)


def test_last_checkpoint_is_the_last_state_even_without_a_better_score(fit, tmp_path):
    """A learning rate of 0 never improves the score after the first epoch."""
    main([*fit, "--model.learning_rate", "0"])
    folder = tmp_path / "fit/checkpoints"
    steps = {name: torch.load(folder / f"{name}.ckpt", weights_only=True)["global_step"] for name in ("best", "last")}
    assert steps["last"] == 2 * steps["best"]
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "last.ckpt"]


class Launcher:
    """A stand-in for Lightning's launcher, which has started processes."""

    def __init__(self, *procs):
        self.procs = procs


def test_the_signal_that_killed_another_process():
    sleeping = ["sleep", "60"]
    with (
        subprocess.Popen(sleeping) as killed,
        subprocess.Popen(sleeping) as living,
        subprocess.Popen(["true"]) as ended,
    ):
        killed.kill()
        assert lightning_cli._killed_by(Launcher(ended, killed, living)) == signal.SIGKILL
        start = time.monotonic()
        assert lightning_cli._killed_by(Launcher(ended, living, living)) == 0
        assert time.monotonic() - start < 3
        living.kill()
    assert lightning_cli._killed_by(object()) == 0
