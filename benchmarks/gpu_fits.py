"""Steps per second of fits on rows with the lengths of SST-2: `stark fit`, the plain way, Hugging Face's Trainer.

All ways train the same model on the same rows, with the same number of rows per step. `stark fit` runs with and without
CUDA graphs. The plain way is that of `benchmarks.plain`. `Trainer` pads each batch to its longest row, and has its
default optimizer, a fused AdamW. On a GPU all of them compute in bfloat16 autocast.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn
from transformers import DataCollatorWithPadding, PreTrainedModel, TrainerCallback, TrainingArguments
from transformers import Trainer as HuggingFaceTrainer

from benchmarks.data import write_task
from benchmarks.measuring import Figure, Sample, alternate, ratios
from benchmarks.models import MAX_LENGTH, write_models
from benchmarks.plain import BatchLoss, distil_loss, finetune_loss, padded, training_tools
from datamodules import GLUEDataModule, PadCollator
from pipeline.fits.lightning_cli import StarkCLI
from pipeline.parsing.extras import needs_extra
from stark.forward.classifying import Batch
from stark.model_folders.model_folder import load_classifier, load_tokenizer

__all__ = ["fit_figures"]

_LABELS = ("negative", "positive")
_HUGGING_FACE = "Hugging Face's Trainer"


class _Clock:
    """Measures the second half of a fit's steps; the graphs of the common lengths are recorded in the first."""

    def __init__(self) -> None:
        self.seconds_per_step = 0.0
        self._start = 0.0

    def begins(self, step: int, steps: int) -> None:
        if step == steps // 2:
            _wait()
            self._start = time.perf_counter()

    def ends(self, step: int, steps: int) -> None:
        if step == steps - 1:
            _wait()
            self.seconds_per_step = (time.perf_counter() - self._start) / (steps - steps // 2)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class _LightningClock(Callback):
    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ANN401 - Lightning's signature
        batch_idx: int,
    ) -> None:
        self._clock.begins(batch_idx, int(trainer.num_training_batches))

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401 - Lightning's signature
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        self._clock.ends(batch_idx, int(trainer.num_training_batches))


class _HuggingFaceClock(TrainerCallback):
    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401 - its signature
        self._clock.begins(state.global_step, state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ANN401
        self._clock.ends(state.global_step - 1, state.max_steps)


def _sample(way: Callable[[], float]) -> Sample:
    return Sample(way())


class _Fits:
    """Fits in one folder, with generated rows, a teacher and a 70 % student."""

    def __init__(self, folder: Path, device: str, size: str, rows: int, steps: int, *, whole: bool) -> None:
        self.folder, self.device, self.rows = folder, device, rows
        self.multiple = MAX_LENGTH if whole else 8
        # A tenth of the rows selects epochs.
        write_task(folder / "data", "sst2", rows=rows * steps * 10 // 9 + 2, dev_rows=64)
        self.teacher, self.student = write_models(folder, _LABELS, size=size)
        self._number = 0

    def stark(self, kind: str, *callbacks: str) -> float:
        """Seconds per step of `stark fit`."""
        distils = kind == "distillation"
        models = (
            {"teacher": str(self.teacher), "student": str(self.student)}
            if distils
            else {"model_name_or_path": str(self.teacher)}
        )
        module = "DistillationModule" if distils else "FinetuningModule"
        self._number += 1
        config = {
            "seed_everything": 1,
            "model": {"class_path": f"lightning_modules.{module}", "init_args": models},
            "trainer": {
                "default_root_dir": str(self.folder / f"fit{self._number}"),
                "accelerator": "gpu" if self.device == "cuda" else self.device,
                "devices": 1,
                "precision": "bf16-mixed" if self.device == "cuda" else "32-true",
                "max_epochs": 1,
                "limit_val_batches": 1,
                "gradient_clip_val": 1.0,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                # Without the one that saves the model.
                "callbacks": [{"class_path": f"callbacks.{name}"} for name in ("FiniteLoss", *callbacks)],
            },
            "data": {
                "task": "sst2",
                "data_dir": str(self.folder / "data"),
                "cache_dir": str(self.folder / "cache"),
                "batch_size": self.rows,
                "pad_to_multiple_of": self.multiple,
                "selection_fraction": 0.1,
            },
            # Checkpoints of large models would take longer than the fit. They are not part of a step.
            **{name: {"save_top_k": 0} for name in ("checkpoint", "last_checkpoint", "step_checkpoint")},
        }
        path, clock = self.folder / "fit.yaml", _Clock()
        path.write_text(yaml.safe_dump(config))
        command_line = StarkCLI(["fit", "--config", str(path)], [_LightningClock(clock)])
        vars(command_line).clear()  # frees the trainer with its tensors
        return clock.seconds_per_step

    def plain(self, kind: str) -> float:
        """Seconds per step of the plain way."""
        loss: BatchLoss = finetune_loss
        if kind == "distillation":
            loss = distil_loss(self._model(self.teacher))
        model = self._model(self.student if kind == "distillation" else self.teacher).train()
        batches = padded(self._data().train_dataloader(), self.rows, shuffled=True)
        optimizer, schedule = training_tools(model, len(batches))
        clock = _Clock()
        for step, batch in enumerate(batches):
            clock.begins(step, len(batches))
            with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
                value = loss(model, {name: tensor.to(self.device) for name, tensor in batch.items()})
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            value.item()
            clock.ends(step, len(batches))
        return clock.seconds_per_step

    def hugging_face(self) -> float:
        """Seconds per step of a finetuning by Hugging Face's Trainer."""
        rows = cast(Any, self._data().train_dataloader().dataset)
        columns: Batch = PadCollator(0)(rows)
        items = [
            {"input_ids": ids[:length].tolist(), "labels": int(label)}
            for ids, length, label in zip(columns["input_ids"], rows.lengths.tolist(), columns["labels"], strict=True)
        ]
        clock = _Clock()
        arguments = TrainingArguments(
            output_dir=str(self.folder / "hugging_face"),
            per_device_train_batch_size=self.rows,
            num_train_epochs=1,
            learning_rate=3e-5,
            bf16=self.device == "cuda",
            use_cpu=self.device == "cpu",
            max_grad_norm=1.0,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = HuggingFaceTrainer(
            self._model(self.teacher),
            arguments,
            DataCollatorWithPadding(load_tokenizer(self.teacher), pad_to_multiple_of=self.multiple),
            cast(Any, items),
            callbacks=[_HuggingFaceClock(clock)],
        )
        trainer.train()
        return clock.seconds_per_step

    def _model(self, folder: Path) -> PreTrainedModel:
        return nn.Module.to(load_classifier(folder), self.device)

    def _data(self) -> GLUEDataModule:
        data = GLUEDataModule(
            "sst2",
            str(self.folder / "data"),
            str(self.teacher),
            batch_size=self.rows,
            cache_dir=str(self.folder / "cache"),
            selection_fraction=0.1,
        )
        data.prepare_data()
        data.setup("fit")
        return data


def fit_figures(
    device: str,
    size: str,
    rows: int,
    steps: int,
    rounds: int,
    *,
    kinds: tuple[str, ...] = ("finetuning", "distillation"),
    whole: bool = False,
    until: float | None = None,
) -> list[Figure]:
    """Measure fits in turns: finetuning, and distillation of a 70 % student (ours with stored teacher outputs).

    Args:
        device: ``cuda`` or ``cpu``.
        size: A key of `benchmarks.models.SIZES`.
        rows: Rows per batch.
        steps: Steps of each fit, about.
        rounds: Number of rounds.
        kinds: What is measured.
        whole: Whether all ways pad all rows to 128 tokens, so that steps have equal numbers of operations.
        until: Time of `time.monotonic` after which no further round starts.

    Returns:
        Steps per second of each way, compared with the plain way and with Hugging Face's Trainer. Without the package
        ``accelerate``, which `Trainer` needs, it is left out, and a line is printed.
    """
    has_trainer = find_spec("accelerate") is not None
    if not has_trainer:
        print(needs_extra(f"the comparison with {_HUGGING_FACE}", "bench", "accelerate"), flush=True)
    with tempfile.TemporaryDirectory() as name:
        fits = _Fits(Path(name), device, size, rows, steps, whole=whole)
        ways: dict[str, Callable[[], float]] = {}
        for kind in kinds:
            stored = ("TeacherCache",) if kind == "distillation" else ()
            ways[f"{kind}, the plain way"] = partial(fits.plain, kind)
            if has_trainer and kind == "finetuning":
                ways[f"{kind}, {_HUGGING_FACE}"] = fits.hugging_face
            ways[f"{kind}, stark fit"] = partial(fits.stark, kind, *stored)
            ways[f"{kind}, stark fit with graphs"] = partial(fits.stark, kind, *stored, "CUDAGraphs")
        samples = alternate({name: partial(_sample, way) for name, way in ways.items()}, rounds, until)
    seconds = {name: [sample.wall for sample in found] for name, found in samples.items()}
    shape = f"{size}, {rows} rows" + (f" of {MAX_LENGTH}" if whole else "")
    figures = []
    for name, found in seconds.items():
        kind, _, way = name.partition(", ")
        others = {
            other: ratios(seconds[f"{kind}, {other}"], found)
            for other in ("the plain way", _HUGGING_FACE, "stark fit")
            if f"{kind}, {other}" in seconds and way.startswith("stark fit") and other != way
        }
        figures.append(Figure(f"{shape}: {name}", "steps/s", [1 / value for value in found], others))
    return figures
