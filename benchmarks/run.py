"""The whole method with five candidates: the command `stark run` against plain loops of the same stages and epochs.

Both are measured as whole processes, including start, tokenisation, evaluations and writing. A real run has more rows
and epochs, so that the work that a process or a fit does only once has a larger share here.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from torch.utils.data import DataLoader
from transformers import BertModel, PreTrainedModel

from benchmarks.data import LENGTHS, write_task
from benchmarks.measuring import Sample, alternate, child, header, ratio_lines, report
from benchmarks.models import random_classifier, tokenizer
from benchmarks.plain import (
    accuracy,
    as_released_,
    distil_loss,
    finetune_loss,
    padded,
    plain_masks,
    plain_scores,
    train_epoch,
    training_tools,
)
from datamodules import GLUEDataModule
from stark.encoders.cutting import shrink_
from stark.forward.classifying import Batch
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier

__all__ = ["main"]

SPARSITIES = (0.05, 0.1, 0.2, 0.3, 0.4)
_STUDENT, _LAM = 0.7, 0.5
_FINETUNING, _DISTILLATION = 2, 3


def _ours(folder: Path, task: str, number: int, options: argparse.Namespace) -> Sample:
    command = ["-m", "cli", "run", "--config", "configs/run.yaml", "--config", f"configs/task/{task}.yaml"]
    settings = {
        "model_name_or_path": folder / "encoder",
        "root": folder,
        "name": f"ours_{task}_{number}",
        "data.data_dir": folder,
        "data.cache_dir": folder / f"ours_cache_{task}_{number}",
        "data.batch_size": options.batch_size,
        "finetuning.epochs": _FINETUNING,
        "distillation.epochs": _DISTILLATION,
        "distillation.loss": "null",
        "student.sparsity": _STUDENT,
        "teacher.lams": [_LAM],
        "teacher.sparsities": list(SPARSITIES),
        "trainer.accelerator": "cpu",
        "trainer.precision": options.precision,
    }
    for name, value in settings.items():
        command += [f"--{name}", str(value)]
    sample, _ = child(command, options.threads)
    summary = json.loads((folder / str(settings["name"]) / "summary.json").read_text())
    sample.values["models"] = len(summary["models"])
    return sample


def _plain(folder: Path, task: str, number: int, options: argparse.Namespace) -> Sample:
    asked = ["-m", "benchmarks.run", "--plain", str(folder / f"plain_{task}_{number}"), "--tasks", task]
    sample, printed = child([*asked, "--batch_size", str(options.batch_size)], options.threads)
    sample.values["models"] = int(printed.split()[-1])
    return sample


class _PlainRun:
    """The stages as plain loops; `go` runs all of them."""

    def __init__(self, root: Path, task: str, batch_size: int) -> None:
        self.root, self.batch_size, self.encoder = root, batch_size, root.parent / "encoder"
        cache = str(root / "cache")
        data = GLUEDataModule(task, str(root.parent), str(self.encoder), batch_size=batch_size, cache_dir=cache)
        for stage in ("fit", "test"):
            data.setup(stage)
        self.labels = data.label_names
        self.train = padded(data.train_dataloader(), batch_size, shuffled=True)
        self.selection: DataLoader[Batch] = padded(data.val_dataloader(), batch_size, shuffled=False)
        self.dev = padded(data.test_dataloader(), batch_size, shuffled=False)

    def go(self) -> int:
        """Run all stages and return the number of evaluated models."""
        teacher = as_released_(load_classifier(self.encoder, label_names=self.labels))
        teacher = self._fit("finetune", teacher, finetune_loss, _FINETUNING)
        student = self._cut(teacher, plain_masks(plain_scores(teacher, self.selection), _STUDENT))
        models = [teacher, student]
        trial = self._fit("trial", copy.deepcopy(student), distil_loss(teacher), _DISTILLATION)
        models.append(trial)
        scores = plain_scores(teacher, self.selection, trial)
        for sparsity in SPARSITIES:
            sparse = self._cut(teacher, plain_masks(scores, sparsity, _LAM))
            loss = distil_loss(sparse)
            models.append(self._fit(f"distill_{sparsity}", copy.deepcopy(student), loss, _DISTILLATION))
        for part in (self.selection, self.dev):
            for model in models:
                accuracy(model, part)
        return len(models)

    @staticmethod
    def _cut(model: PreTrainedModel, masks: Any) -> PreTrainedModel:  # noqa: ANN401 - two lists of tensors
        return as_released_(shrink_(copy.deepcopy(model), masks))

    def _fit(
        self, name: str, model: PreTrainedModel, loss: Callable[[PreTrainedModel, Batch], Any], epochs: int
    ) -> PreTrainedModel:
        """Train a model, evaluate it after each epoch, and save the best epoch's weights."""
        tools = training_tools(model, epochs * len(self.train))
        best, state = -1.0, model.state_dict()
        for _ in range(epochs):
            train_epoch(model, self.train, loss, tools)
            score = accuracy(model, self.selection)
            if score > best:
                best, state = score, copy.deepcopy(model.state_dict())
        model.load_state_dict(state)
        save_classifier(model, self.root / name, load_tokenizer(self.encoder))
        model.eval()
        return model


def main() -> None:
    """Measure every task; in a child process, measure the plain way only."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=["rte", "sst2"], choices=list(LENGTHS))
    parser.add_argument("--rows", type=int, default=640)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--precision", default="32-true", choices=["32-true", "bf16-mixed"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        print(_PlainRun(options.plain, options.tasks[0], options.batch_size).go())
        return
    print(header(options.threads), flush=True)
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_classifier(cast(BertModel, random_classifier("mini").base_model), folder / "encoder", tokenizer())
        for task in options.tasks:
            write_task(folder, task, rows=options.rows, dev_rows=64)
            lines += _compare(folder, task, options)
    print("\n".join(lines))


def _compare(folder: Path, task: str, options: argparse.Namespace) -> list[str]:
    numbers = iter(range(2 * options.rounds))

    def way(name: str, measured: Callable[..., Sample]) -> Sample:
        sample = measured(folder, task, next(numbers), options)
        print(report(name, [sample]), flush=True)  # printed at once, because a sample takes minutes
        return sample

    print(f"\n{task}: {options.rows} rows, {_FINETUNING} and {_DISTILLATION} epochs, {len(SPARSITIES)} candidates")
    samples = alternate({"plain": lambda: way("plain", _plain), "ours": lambda: way("ours", _ours)}, options.rounds)
    plain, ours = samples["plain"], samples["ours"]
    if plain[0].values["models"] != ours[0].values["models"]:
        raise RuntimeError(f"{task}: {ours[0].values} models are evaluated, but {plain[0].values} in the plain way")
    return ratio_lines(f"run/{task}/{options.precision}", plain, ours)


if __name__ == "__main__":
    main()
