"""A tiny task with a tiny teacher, and fits on it, shared by the tests of modules, callbacks and pipeline."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from datamodules import GLUEDataModule, sample_vocabulary, write_sample_data
from lightning_modules import DistillationModule, FinetuningModule
from lightning_modules.checkpoints import SafeCheckpointIO
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.model_folders.sample_encoder import save_sample_encoder


@dataclass(frozen=True)
class TinyTask:
    """Folders of sample data, of a random encoder, and of a teacher with random weights."""

    data_dir: Path
    encoder: Path
    teacher: Path
    cache: Path

    def data(self, task: str = "sst2", **settings: Any) -> GLUEDataModule:
        """The data module: 108 rows of train, 12 of selection, few of dev."""
        settings = {"batch_size": 16, "cache_dir": str(self.cache), "seed": 1, **settings}
        return GLUEDataModule(task, str(self.data_dir), str(self.encoder), **settings)

    def finetuning(self, task: str = "sst2", *, model: Path | None = None, **settings: Any) -> FinetuningModule:
        """The module of a finetuning of the encoder."""
        data = self.data(task)
        settings = {"learning_rate": 1e-3, **settings}
        return FinetuningModule(str(model or self.encoder), data.label_names, data.metrics, **settings)

    def distillation(
        self, *, teacher: Path | None = None, student: Path | None = None, **settings: Any
    ) -> DistillationModule:
        """The module of a distillation from this task's teacher into a copy of it."""
        data = self.data()
        settings = {"learning_rate": 1e-3, **settings}
        return DistillationModule(
            str(teacher or self.teacher), str(student or self.teacher), data.label_names, data.metrics, **settings
        )


def make_tiny_task(folder: Path) -> TinyTask:
    write_sample_data(folder / "data", rows=120)
    encoder = save_sample_encoder(folder / "encoder", sample_vocabulary(), hidden_size=32, intermediate_size=256)
    task = TinyTask(folder / "data", encoder, folder / "teacher", folder / "cache")
    seed_everything(5, verbose=False)
    model = load_classifier(encoder, label_names=task.data().label_names)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # so that logits, scores and gradients differ between units
    save_classifier(model, task.teacher, load_tokenizer(encoder))
    return task


def save_masked_language_model(folder: Path, tokenizer: Path, *, seed: int = 0) -> Path:
    """Write a tiny random BERT with the head of its pretraining; its predictions differ between places."""
    words = AutoTokenizer.from_pretrained(tokenizer)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForMaskedLM(BertConfig(vocab_size=len(words), initializer_range=0.25, **sizes))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def make_trainer(
    folder: Path,
    callbacks: Sequence[Callback] = (),
    *,
    patience: int | None = None,
    monitor: str | None = "val/score",
    **settings: Any,
) -> Trainer:
    """A silent CPU trainer that tracks the best checkpoint as configs/trainer.yaml does, unless `monitor` is None."""
    tracked: list[Callback] = []
    if monitor is not None:
        tracked.append(
            ModelCheckpoint(
                folder / "checkpoints",
                "best",
                monitor,
                mode="max",
                save_last=True,
                auto_insert_metric_name=False,
                save_on_train_epoch_end=False,
            )
        )
    if patience is not None:
        tracked.append(EarlyStopping("val/score", mode="max", patience=patience, check_on_train_epoch_end=False))
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 2,
        "gradient_clip_val": 1.0,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "plugins": [SafeCheckpointIO()],
    }
    return Trainer(default_root_dir=folder, callbacks=[*tracked, *callbacks], **{**defaults, **settings})


def fit(
    trainer: Trainer, module: LightningModule, data: GLUEDataModule, ckpt_path: Path | None = None
) -> dict[str, torch.Tensor]:
    """Fit as the command line does, and return the trained weights."""
    seed_everything(7, verbose=False)
    if ckpt_path is not None:
        trainer.ckpt_path = str(ckpt_path)
    trainer.fit(module, data, weights_only=True)
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


class Stopped(Exception):
    """Raised by `StopAt`."""


class StopAt(Checkpoint):
    """Writes a checkpoint at one point of a fit and ends the fit; called last, as Lightning's checkpoints are.

    Args:
        path: Path of the checkpoint.
        point: After a step's batch ("step") or after validation ("val"), with the number of finished steps; after a
            batch ("batch"), with the number of finished batches; or at the end of an epoch ("epoch"), with its number.
    """

    def __init__(self, path: Path, point: tuple[str, int]) -> None:
        self.path, self.point = path, point

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self._stop(trainer, ("step", trainer.global_step))
        self._stop(trainer, ("batch", trainer.fit_loop.epoch_loop.total_batch_idx + 1))

    def on_validation_end(self, trainer: Trainer, *args: Any) -> None:
        self._stop(trainer, ("val", trainer.global_step))

    def on_train_epoch_end(self, trainer: Trainer, *args: Any) -> None:
        self._stop(trainer, ("epoch", trainer.current_epoch))

    def _stop(self, trainer: Trainer, point: tuple[str, int]) -> None:
        if point == self.point and not self.path.exists():
            trainer.save_checkpoint(self.path)
            raise Stopped


class CopyAt(StopAt):
    """Copies a fit's folder at points of the fit, each with the checkpoint that `StopAt` would have written there.

    Args:
        folder: Folder of the fit.
        copies: Folder for one copy per point, named by the point's number.
        points: Points as in `StopAt`.
    """

    def __init__(self, folder: Path, copies: Path, points: Sequence[tuple[str, int]]) -> None:
        super().__init__(folder / "stopped.ckpt", ("none", 0))
        self.copies, self.points = copies, list(points)

    def _stop(self, trainer: Trainer, point: tuple[str, int]) -> None:
        if point in self.points and not (copy := self.copies / str(self.points.index(point))).exists():
            trainer.save_checkpoint(self.path)
            shutil.copytree(self.path.parent, copy)
            self.path.unlink()


class Scored(Callback):
    """Gives every validation a chosen score, and records its weights; needs the fixture `unscored`."""

    def __init__(self, *scores: float) -> None:
        self.scores = scores
        self.weights: list[dict[str, torch.Tensor]] = []

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("val/score", self.scores[len(self.weights)])
        self.weights.append({name: tensor.clone() for name, tensor in pl_module.state_dict().items()})


class SlowClock(Callback):
    """A clock for `time.monotonic`, by which each training batch takes five seconds and everything else no time."""

    now = 100.0

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self.now += 5.0
        self.batches = trainer.num_training_batches


def best_weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Weights of the best checkpoint."""
    checkpoint = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)
    return checkpoint["state_dict"]


def differences(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> list[str]:
    """Names of the weights that do not have the same bits."""
    assert first.keys() == second.keys()
    return [name for name in first if not torch.equal(first[name], second[name])]
