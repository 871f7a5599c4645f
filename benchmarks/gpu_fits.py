"""Steps per second of real fits by `stark fit`, with and without CUDA graphs, on rows with the lengths of SST-2."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from pytorch_lightning import Callback, LightningModule, Trainer

from benchmarks.data import write_task
from benchmarks.measuring import ratio_line, ratios
from benchmarks.models import write_models
from pipeline.fits.lightning_cli import StarkCLI

__all__ = ["fit_lines"]

_LABELS = ("negative", "positive")


class _Clock(Callback):
    """Measures the second half of a fit's steps; the graphs of the common lengths are recorded in the first."""

    def __init__(self) -> None:
        self.seconds_per_step = 0.0
        self._start = 0.0

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ANN401 - Lightning's signature
        batch_idx: int,
    ) -> None:
        if batch_idx == int(trainer.num_training_batches) // 2:
            _wait()
            self._start = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401 - Lightning's signature
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        number = int(trainer.num_training_batches)
        if batch_idx == number - 1:
            _wait()
            self.seconds_per_step = (time.perf_counter() - self._start) / (number - number // 2)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def fit_lines(device: str, size: str, rows: int, steps: int, rounds: int) -> list[str]:
    """Measure finetuning and distillation (with stored teacher outputs) of a 70 % student, in turns.

    Args:
        device: ``cuda`` or ``cpu``.
        size: A key of `benchmarks.models.SIZES`.
        rows: Rows per batch.
        steps: Steps of each fit, about.
        rounds: Number of rounds.

    Returns:
        A line per ratio; the steps per second are printed.
    """
    graphs = [{"class_path": "callbacks.CUDAGraphs"}]
    cache = [{"class_path": "callbacks.TeacherCache"}]
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_task(folder / "data", "sst2", rows=rows * steps, dev_rows=64)
        teacher, student = write_models(folder, _LABELS, size=size)
        modules = {
            "finetuning": ("FinetuningModule", {"model_name_or_path": str(teacher)}, []),
            "distillation": ("DistillationModule", {"teacher": str(teacher), "student": str(student)}, cache),
        }
        for number in range(rounds):
            for kind, (module, arguments, callbacks) in modules.items():
                for end, extra in (("", []), ("/graphs", graphs)):
                    config = _config(folder, f"{kind}{end}{number}", device, rows)
                    config["model"] = {"class_path": f"lightning_modules.{module}", "init_args": arguments}
                    config["trainer"]["callbacks+"] = [*callbacks, *extra]
                    found.setdefault(f"{kind}{end}", []).append(_seconds(folder, config))
    print(f"\nsteps of stark fit, {size}, {rows} rows with the lengths of SST-2")
    for name, seconds in found.items():
        rates = sorted(1 / value for value in seconds)
        print(f"{name:32} {rates[len(rates) // 2]:8.1f} steps/s [{rates[0]:.1f}, {rates[-1]:.1f}]", flush=True)
    return [ratio_line(f"gpu/fit/{kind}", ratios(found[kind], found[f"{kind}/graphs"])) for kind in modules]


def _config(folder: Path, name: str, device: str, rows: int) -> dict[str, Any]:
    return {
        "seed_everything": 1,
        "trainer": {
            "default_root_dir": str(folder / name),
            "accelerator": "gpu" if device == "cuda" else device,
            "devices": 1,
            "precision": "bf16-mixed" if device == "cuda" else "32-true",
            "max_epochs": 1,
            "gradient_clip_val": 1.0,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        },
        "data": {
            "task": "sst2",
            "data_dir": str(folder / "data"),
            "cache_dir": str(folder / "cache"),
            "batch_size": rows,
            "selection_fraction": 0.1,
        },
    }


def _seconds(folder: Path, config: dict[str, Any]) -> float:
    path, clock = folder / "fit.yaml", _Clock()
    path.write_text(yaml.safe_dump(config))
    command_line = StarkCLI(["fit", "--config", str(path)], [clock])
    vars(command_line).clear()  # frees the trainer with its tensors
    return clock.seconds_per_step
