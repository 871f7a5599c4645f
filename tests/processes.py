"""Fits in two processes: the script that both run, and the function that starts them.

Starting Python with torch and Lightning takes far longer than the fits, so one start serves many checks: the script
runs all fits and writes files, which the tests then compare with fits of a single process.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from torch.nn.parallel import DistributedDataParallel

from callbacks import (
    AveragedWeights,
    FiniteLoss,
    Interrupted,
    Pruning,
    Rewinding,
    StopOnSignal,
    SubmissionWriter,
    TeacherCache,
    TeacherSparsification,
)
from callbacks.finite_loss import NonFiniteLossError
from datamodules import GLUEDataModule
from lightning_modules import FinetuningModule
from stark.encoders.cutting import shrink_
from stark.encoders.layers import kept_units
from stark.forward.classifying import Batch, Outputs
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.problems.problem import Problem
from stark.processes import all_gather_object, mean_over_processes
from stark.scores.score import Distilled, GradientScore
from stark.scores.scoring import score_units
from stark.scores.unit_scores import UnitScores
from tests.tasks import StopAt, Stopped, TinyTask, fit, make_trainer
from tests.tiny import FAMILIES, random_masks, tiny_batch, tiny_classifier

ROOT = Path(__file__).parents[1]
# All metrics of the project.
METRICS = {"sst2": ["accuracy", "f1", "matthews_corrcoef"], "stsb": ["pearson", "spearmanr"]}
# 99 training rows: 13 batches, one of which has 3 rows.
DATA = {"batch_size": 8, "train_limit": 110}
METHOD = {"max_epochs": 4, "min_epochs": 3, "patience": 3}
# Points at which fits of 7 batches per epoch are stopped: number of accumulated batches, number of finished batches.
STOPS = {"between": (1, 3), "in_group": (3, 4)}


def environment() -> dict[str, str]:
    """Environment variables of the processes: they import this checkout, and do not inherit a rank."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "WORLD_SIZE", "RANK")}
    return inherited | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def free_port() -> str:
    """A port that is not in use."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def run_two(task: Path, folder: Path, python: Path) -> list[dict[str, Any]]:
    """Run this script in two processes, and return the results of each.

    Args:
        task: Folder of the tiny task.
        folder: Folder of the processes' files.
        python: Python executable.
    """
    common = environment() | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    processes = []
    for rank in range(2):
        ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        command = [str(python), "-m", "tests.processes", str(task), str(folder)]
        with (folder / f"log{rank}").open("w") as log:
            processes.append(subprocess.Popen(command, env=common | ranks, cwd=ROOT, stdout=log, stderr=log))
    try:
        codes = [process.wait(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert codes == [0, 0], "\n".join((folder / f"log{rank}").read_text()[-3000:] for rank in range(2))
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(2)]


def without_dropout(task: TinyTask, folder: Path) -> Path:
    """A copy of the teacher without dropout."""
    if not folder.exists():
        model = load_classifier(task.teacher)
        model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
        save_classifier(model, folder, load_tokenizer(task.teacher))
    return folder


class Watcher(Callback):
    """Records what the tests need to know about a running fit."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {"scores": [], "losses": []}

    def on_train_batch_start(self, *args: Any) -> None:
        self.seen.setdefault("random", (torch.get_rng_state(), random.getstate()))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        wrapped = trainer.strategy.model
        student = pl_module.classifier
        pairs = ((wrapped.parameters(), student.parameters()), (wrapped.buffers(), student.buffers()))
        self.seen["shared"] = [[id(tensor) for tensor in tensors] for pair in pairs for tensors in pair]
        self.seen["wrapped"] = isinstance(wrapped, DistributedDataParallel)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any) -> None:
        # Available from the second step on, because DDP sorts its buckets at the start of that step.
        data = trainer.strategy.model._get_ddp_logging_data() if trainer.world_size > 1 else {}
        self.seen.setdefault("sorted", []).append(data.get("has_rebuilt_buckets"))
        self.seen["losses"].append(float(trainer.callback_metrics["train/loss"]))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen["scores"].append(float(trainer.callback_metrics["val/score"]))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen["random_at_end"] = torch.get_rng_state(), random.getstate()


def distil(
    task: TinyTask, folder: Path, extra: list[Callback], teacher: Path, ckpt_path: Path | None = None, **settings: Any
) -> dict[str, Any]:
    """Distil, and return the weights, the kept units and the watcher's records."""
    seed_everything(3, verbose=False)
    watcher = Watcher()
    module = task.distillation(teacher=teacher, student=teacher)
    trainer = make_trainer(folder, [watcher, *extra], **settings)
    try:
        weights = fit(trainer, module, task.data(**DATA), ckpt_path)
    except Stopped:
        weights = {}
    units = [kept_units(model).to_json() for model in (module.student, module.teacher)]
    return {"weights": weights, "units": units, "steps": trainer.global_step, **watcher.seen}


def whole_method(task: TinyTask, folder: Path, **settings: Any) -> dict[str, Any]:
    """Prune, trial, sparsify, rewind and distil without dropout; scores are computed on 13 batches."""
    callbacks = [
        Pruning(0.5, split="train", refit=True),
        TeacherSparsification(0.5, 0.3, split="train", refit=True),
        Rewinding(2),
        TeacherCache(str(folder / "answers")),
    ]
    return distil(task, folder, callbacks, task.teacher.parent / "without_dropout", **METHOD, **settings)


class Lopsided(GLUEDataModule):
    """Process 0 has all rows and process 1 has none, as happens with more processes than rows."""

    def _processes(self) -> tuple[int, int]:
        return (1000, 999) if self.trainer.global_rank else (1, 0)


def evaluate(task: TinyTask, folder: Path, kind: type[GLUEDataModule], name: str, **settings: Any) -> dict[str, float]:
    """Evaluate a random model on dev in batches of 7 rows, write its submission file, and return the metrics."""
    seed_everything(13, verbose=False)
    data = kind(name, str(task.data_dir), str(task.encoder), batch_size=7, cache_dir=str(task.cache), seed=1)
    module = FinetuningModule(str(task.encoder), data.label_names, METRICS[name])
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(5)  # so that predictions differ
    trainer = make_trainer(folder, [SubmissionWriter()], **settings)
    (metrics,) = trainer.test(module, data, verbose=False)
    trainer.predict(module, data, return_predictions=False)
    return dict(metrics)


def scores_of_families(batches: list[int]) -> dict[str, UnitScores]:
    """Scores of unevenly shrunk models, on a few batches of different sizes."""
    found = {}
    for family in FAMILIES:
        model = shrunk(family)
        data = [tiny_batch(size, seed=size) for size in batches]
        found[family] = score_units(model, data, [First(), Squares()])
    return found


class First(GradientScore):
    def losses(self, problem: Problem, outputs: Outputs, batch: Batch, distilled: Distilled | None) -> torch.Tensor:
        return outputs.logits[:, 0] ** 2


class Squares(GradientScore):
    def losses(self, problem: Problem, outputs: Outputs, batch: Batch, distilled: Distilled | None) -> torch.Tensor:
        return (outputs.logits**2).sum(-1)


def shrunk(family: str) -> Any:
    """A model with a layer without heads and another without neurons."""
    model = tiny_classifier(family, layers=3)
    return shrink_(model, random_masks(model, empty_heads=1, empty_neurons=2))


def ddp_gradients(family: str, rank: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Gradients of a shrunk model's second step under DDP, and the mean of the processes' gradients without DDP."""
    alone, wrapped = shrunk(family), DistributedDataParallel(shrunk(family))
    for step in range(2):  # DDP complains in the second step about parameters that had no gradient in the first
        batch = tiny_batch(3, seed=10 * step + rank)
        for model in (alone, wrapped):
            model.zero_grad()
            model(**batch).loss.backward()
    expected = {name: mean_over_processes(parameter.grad) for name, parameter in alone.named_parameters()}
    return {name: parameter.grad for name, parameter in wrapped.module.named_parameters()}, expected


def resumed(task: TinyTask, folder: Path, **settings: Any) -> dict[str, Any]:
    """Results of fits with averaged weights that were stopped in mid-epoch and resumed, and of uninterrupted ones."""
    found = {}
    for name, (accumulate, batches) in STOPS.items():
        options = {"max_epochs": 2, "accumulate_grad_batches": accumulate, **settings}
        whole = distil(task, folder / name / "whole", [AveragedWeights(1.0)], task.teacher, **options)
        path = all_gather_object(folder / name / "stopped.ckpt")[0]
        stop = StopAt(path, ("batch", batches))
        distil(task, folder / name / "stopped", [AveragedWeights(1.0), stop], task.teacher, **options)
        again = distil(task, folder / name / "stopped", [AveragedWeights(1.0)], task.teacher, path, **options)
        found[name] = {"whole": whole, "resumed": again, "path": str(path)}
    return found


class SignalOne(Callback):
    """Sends a signal to the last process alone, in its third batch."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx == 2 and trainer.global_rank == trainer.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)


class SpoilOne(Callback):
    """Makes the last process's loss NaN in the third batch, and records the rows of that batch."""

    rows: list[int]

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, i: int) -> None:
        if i == 2 and trainer.global_rank == trainer.world_size - 1:
            outputs["loss"] = outputs["loss"] * torch.nan
            self.rows = batch["idx"].tolist()


def ended(task: TinyTask, folder: Path, extra: list[Callback], **settings: Any) -> dict[str, Any]:
    """The exception that ends a fit, its number of steps, and the spoilt rows."""
    module = task.finetuning()
    trainer = make_trainer(folder, extra, max_epochs=1, **settings)
    try:
        fit(trainer, module, task.data(**DATA))
    except (Interrupted, NonFiniteLossError) as error:
        rows = getattr(extra[0], "rows", [])
        return {"how": f"{type(error).__name__}: {error}", "steps": trainer.global_step, "rows": rows}
    return {"how": "as usual"}


def main(task_folder: str, folder: str) -> None:
    """Run all fits in this process, and write the results to ``rank0.pt`` or ``rank1.pt``."""
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    for message in (".*LeafSpec.* is deprecated", ".*does not have many workers", ".*dataloader is not resumable"):
        warnings.filterwarnings("ignore", message)  # as in setup.cfg
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # resumed fits
    rank = int(os.environ["RANK"])
    base = Path(task_folder)
    task = TinyTask(base / "data", base / "encoder", base / "teacher", base / "cache")
    # Each process has a separate folder, so that files that process 1 writes are noticed.
    own = Path(folder, f"of_rank{rank}")
    two: dict[str, Any] = {"devices": 2, "strategy": "ddp"}
    found: dict[str, Any] = {"method": whole_method(task, own / "method", **two)}
    found["scores"] = scores_of_families([5, 2, 4])
    found["no_scores"] = score_units(tiny_classifier(), [], [Squares()])
    found["ddp"] = {family: ddp_gradients(family, rank) for family in FAMILIES}
    found["resumed"] = resumed(task, own / "resumed", **two)
    for kind in (GLUEDataModule, Lopsided):
        for name in METRICS:
            found[kind.__name__, name] = evaluate(task, own / kind.__name__, kind, name, **two)
    found["signal"] = ended(task, own / "signal", [SignalOne(), StopOnSignal()], **two)
    found["nan"] = ended(task, own / "nan", [SpoilOne(), FiniteLoss(window=4)], **two)
    torch.distributed.barrier()
    found["written"] = sorted(str(path.relative_to(own)) for path in own.rglob("*") if path.is_file())
    torch.save(found, Path(folder, f"rank{rank}.pt"))


if __name__ == "__main__":
    main(*sys.argv[1:])
