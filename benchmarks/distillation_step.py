"""An epoch of distillation into a 70 % student: Trainer.fit with our callbacks, against a loop over padded batches.

Our fit has two epochs. The first one includes the work that a fit does only once: its start, and the teacher's outputs
where they are cached. A user's fit has ten epochs, so the time of our epoch is (first + 9 second) / 10. The lines
`.../epoch_2` do not include the share of the first epoch. Neither side validates or writes checkpoints.
"""

from __future__ import annotations

import argparse
import logging
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor

import callbacks
from benchmarks.data import LENGTHS, write_task
from benchmarks.flops import flops_of_batches
from benchmarks.measuring import (
    Sample,
    alternate,
    header,
    hold,
    in_child,
    matrix_rate,
    peak_memory,
    ratio_line,
    ratio_lines,
    ratios,
    report,
    stopwatch,
)
from benchmarks.models import write_models
from benchmarks.plain import as_released_, distil_loss, padded, train_epoch, training_tools
from datamodules import GLUEDataModule
from lightning_modules import DistillationModule
from stark.forward.classifying import Batch, Outputs
from stark.model_folders.model_folder import load_classifier

__all__ = ["main"]

_EPOCHS = 10
#: The callbacks of a distillation by `stark run` that can cost time in a step.
_CALLBACKS = ("FiniteLoss", "StopOnSignal", "TeacherCache")
#: Multiples to which rows are padded in bf16, where the kernels of each length cost more time and memory than padding.
_BF16_MULTIPLES = {"rte": 32, "mrpc": 32, "sst2": 16}
_PRECISIONS = {"ours_float32": "32-true", "ours_bf16": "bf16-mixed"}


class _Clock(Callback):
    """Records the end times of epochs, and the losses of the first epoch."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []
        self.losses: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if not self.ends:
            self.losses.append(float(trainer.callback_metrics["train/loss"]))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.ends.append((time.perf_counter(), time.process_time()))


def _data(folder: Path, task: str, batch_size: int, pad_to_multiple_of: int = 8) -> GLUEDataModule:
    data = GLUEDataModule(
        task,
        str(folder),
        str(folder / task / "teacher"),
        batch_size=batch_size,
        selection="validation",
        cache_dir=str(folder / "cache"),
        pad_to_multiple_of=pad_to_multiple_of,
    )
    data.prepare_data()
    data.setup("fit")
    return data


def _plain(folder: Path, task: str, batch_size: int) -> Sample:
    data = _data(folder, task, batch_size)
    teacher, student = (as_released_(load_classifier(folder / task / name)) for name in ("teacher", "student"))
    batches = padded(data.train_dataloader(), batch_size, shuffled=True)
    loss = distil_loss(teacher)
    torch.manual_seed(0)
    rows = data.scoring_dataloader("validation")
    untrained = _untrained_loss(padded(rows, batch_size, shuffled=False), lambda batch: loss(student, batch))
    tools = training_tools(student, _EPOCHS * len(batches))
    with stopwatch() as sample:
        mean = train_epoch(student, batches, loss, tools)
    shapes = [(len(batch["labels"]), batch["input_ids"].shape[1]) for batch in batches]
    flops = flops_of_batches(student, shapes, training=True) + flops_of_batches(teacher, shapes)
    sample.values = {"steps": len(batches), "loss": mean, "untrained": untrained, "flops": flops}
    return sample


def _ours(folder: Path, task: str, batch_size: int, precision: Any) -> Sample:  # noqa: ANN401 - Lightning's literals
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore")
    data = _data(folder, task, batch_size, _BF16_MULTIPLES[task] if precision == "bf16-mixed" else 8)
    module = DistillationModule(
        str(folder / task / "teacher"), str(folder / task / "student"), data.label_names, data.metrics
    )
    untrained = _untrained_loss(data.scoring_dataloader("validation"), lambda batch: _module_loss(module, batch))
    clock = _Clock()
    trainer = Trainer(
        accelerator="cpu",
        precision=precision,
        max_epochs=2,
        gradient_clip_val=1.0,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(folder / "fit"),
        logger=CSVLogger(folder / "fit", name="", version=""),
        callbacks=[clock, *(getattr(callbacks, name)() for name in _CALLBACKS)],
    )
    start = (time.perf_counter(), time.process_time())
    trainer.fit(module, datamodule=data)
    peak = peak_memory()
    first, second = clock.ends
    once = [end - begin for begin, end in zip(start, first, strict=True)]
    again = [end - begin for begin, end in zip(first, second, strict=True)]
    wall, cpu = ((a + (_EPOCHS - 1) * b) / _EPOCHS for a, b in zip(once, again, strict=True))
    loader = data.train_dataloader()
    shapes = [(len(batch["labels"]), batch["input_ids"].shape[1]) for batch in loader]
    return Sample(
        wall,
        cpu,
        peak,
        {
            "steps": len(loader),
            "loss": statistics.mean(clock.losses),
            "untrained": untrained,
            "flops": flops_of_batches(module.student, shapes, training=True),
            "first": once[0],
            "second": again[0],
        },
    )


def _module_loss(module: DistillationModule, batch: Batch) -> Tensor:
    compared: Tensor = module.loss(module.problem, Outputs(module(batch)), module.ask(batch), batch)
    return compared


def _untrained_loss(batches: Iterable[Batch], loss: Callable[[Batch], Tensor]) -> float:
    """Mean loss over some rows before training; it must be the same for both ways."""
    with torch.no_grad():
        found = [(float(loss(batch)), len(batch["labels"])) for batch in batches]
    return math.fsum(value * rows for value, rows in found) / sum(rows for _, rows in found)


def main() -> None:
    """Measure every task; in a child process, measure one way only."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=["rte", "mrpc", "sst2"], choices=list(LENGTHS))
    parser.add_argument("--rows", type=int, default=640)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        place = (options.folder, options.tasks[0], options.batch_size)
        hold(_plain(*place) if options.way == "plain" else _ours(*place, _PRECISIONS[options.way]))
        return
    print(header(options.threads), flush=True)
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for task in options.tasks:
            write_task(folder, task, rows=options.rows, dev_rows=64)
            write_models(folder / task, tuple(GLUEDataModule(task, name).label_names))
            _data(folder, task, options.batch_size)  # tokenises here, so that neither way does
            lines += _compare(folder, task, options)
    print("\n".join(lines))


def _compare(folder: Path, task: str, options: argparse.Namespace) -> list[str]:
    def way(name: str) -> Sample:
        asked = ["--way", name, "--folder", str(folder), "--tasks", task, "--batch_size", str(options.batch_size)]
        return in_child("benchmarks.distillation_step", asked, options.threads)

    samples = alternate({name: lambda name=name: way(name) for name in ("plain", *_PRECISIONS)}, options.rounds)  # type: ignore[misc]
    plain = samples["plain"]
    lines = []
    print(f"\n{task}: an epoch of {plain[0].values['steps']} steps of {options.batch_size} rows")
    for name, found in samples.items():
        print(report(name, found), *(_rate(name, found, options.threads),), flush=True)
        _check_same(name, plain, found)
        if name == "plain":
            continue
        line = f"distillation/{task}/{name.removeprefix('ours_')}"
        lines += ratio_lines(line, plain, found)
        again = ratios([s.wall for s in plain], [s.values["second"] for s in found])
        lines.append(ratio_line(f"{line}/epoch_2", again))
    return lines


def _rate(name: str, samples: list[Sample], threads: int) -> str:
    dtype = torch.bfloat16 if name.endswith("bf16") else torch.float32
    rate = statistics.median(sample.values["flops"] / sample.values.get("second", sample.wall) for sample in samples)
    step = statistics.median(sample.wall / sample.values["steps"] for sample in samples)
    return f" {1000 * step:.1f} ms/step  {rate / 1e9:.0f} GFLOP/s = {rate / matrix_rate(dtype, threads):.0%} of peak"


def _check_same(name: str, plain: list[Sample], found: list[Sample]) -> None:
    """Check that both ways do the same work.

    Their losses before training must be equal. The mean losses of an epoch must be similar: batches and dropout differ.

    Raises:
        RuntimeError: If the losses differ.
    """
    for quantity, tolerance in (("untrained", 1e-4), ("loss", 0.05)):
        values = [statistics.mean(sample.values[quantity] for sample in way) for way in (plain, found)]
        if abs(values[0] - values[1]) > tolerance * abs(values[0]):
            raise RuntimeError(f"{name}: loss {quantity} is {values[1]:.5f}, but {values[0]:.5f} in the plain way")


if __name__ == "__main__":
    main()
