"""GPU benchmarks: finetuning and distillation steps, scoring, and latency of students, with and without compilation.

The model is BERT-base, rows have 128 tokens, and training uses bfloat16 autocast. To try the benchmark without a GPU,
give `--device cpu --size mini --steps 2 --rows 4 --batches 1 --no-compile`.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW
from transformers import PreTrainedModel

from benchmarks.gpu_fits import fit_lines
from benchmarks.latency import DENSE, students_of
from benchmarks.measuring import Sample, alternate, header, matrix_rate, ratio_line, ratios
from benchmarks.models import SIZES, random_classifier, uneven_student
from benchmarks.plain import as_released_, distil_loss, finetune_loss, plain_scores
from pipeline.results.measure import count_flops
from stark.forward.classifying import Batch, Outputs, classify
from stark.losses.soft_targets import SoftTargets
from stark.problems.table import problem_of
from stark.scores.knowledgeableness import Knowledgeableness
from stark.scores.score import Distilled
from stark.scores.scoring import score_units

__all__ = ["main"]

_ROUNDS = 3
_LENGTH = 128


class _Machine:
    """The device, with its timing and synchronisation."""

    def __init__(self, name: str, steps: int, compiled: bool) -> None:
        self.name, self.steps = name, steps
        #: Suffixes of the measured names: without compilation, and with it if requested.
        self.ends = ("", "/compile") if compiled else ("",)

    def batch(self, rows: int) -> Batch:
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randint(1000, 30000, (rows, _LENGTH), generator=generator)
        batch = {"input_ids": inputs, "attention_mask": torch.ones_like(inputs), "labels": torch.arange(rows) % 2}
        return {name: tensor.to(self.name) for name, tensor in batch.items()}

    def wait(self) -> None:
        if self.name == "cuda":
            torch.cuda.synchronize()

    @contextmanager
    def bfloat16(self) -> Iterator[None]:
        with torch.autocast(self.name, torch.bfloat16):
            yield

    def time(self, work: Callable[[], Any]) -> Sample:
        """Seconds per call, as the mean over all steps."""
        self.wait()
        start = time.perf_counter()
        for _ in range(self.steps):
            work()
        self.wait()
        return Sample((time.perf_counter() - start) / self.steps)

    def compare(self, works: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
        for work in works.values():  # warm-up: kernels are chosen or compiled, memory is allocated
            work()
            work()
        samples = alternate({name: lambda w=work: self.time(w) for name, work in works.items()}, _ROUNDS)  # type: ignore[misc]
        return {name: [sample.wall for sample in found] for name, found in samples.items()}

    def peak_memory(self, work: Callable[[], Any]) -> float:
        if self.name != "cuda":
            return 0.0
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() / 2**20


def _training(machine: _Machine, size: str, rows: int) -> list[str]:
    """Steps per second of finetuning and distillation, and their share of the machine's bfloat16 matrix rate."""
    dense = nn.Module.to(random_classifier(size), machine.name)
    student = uneven_student(dense, 0.7)
    teacher_logits = torch.zeros(rows, 2, device=machine.name)
    batch = machine.batch(rows)
    forward, training = count_flops(dense, rows, _LENGTH), count_flops(dense, rows, _LENGTH, training=True)
    student_training = count_flops(student, rows, _LENGTH, training=True)
    works: dict[str, Callable[[], Any]] = {}
    flops = {
        "finetuning": training,
        "distillation": student_training + forward,
        "distillation_cached": student_training,
    }
    for end in machine.ends:
        # Each work trains a copy with a separate optimizer. Compiled with the method that a user of the model calls.
        def made(model: PreTrainedModel, compiled: bool = bool(end)) -> PreTrainedModel:
            copied = copy.deepcopy(model)
            if compiled:
                copied.compile(dynamic=False)
            return copied

        works[f"finetuning{end}"] = _step(machine, made(dense), finetune_loss, batch)
        works[f"distillation{end}"] = _step(machine, made(student), distil_loss(made(dense)), batch)
        works[f"distillation_cached{end}"] = _step(machine, made(student), _cached_loss(teacher_logits), batch)
    peak = matrix_rate(torch.bfloat16, torch.get_num_threads(), 8192 if machine.name == "cuda" else 1024, machine.name)
    print(f"\ntraining, {rows} rows of {_LENGTH}; products of bfloat16 matrices: {peak / 1e12:.1f} TFLOP/s")
    found = machine.compare(works)
    for name, seconds in found.items():
        rate = flops[name.partition("/")[0]] / statistics.median(seconds)
        print(
            f"{name:32} {1 / statistics.median(seconds):8.2f} steps/s  {rate / peak:5.1%} of products  "
            f"peak {machine.peak_memory(works[name]):6.0f} MiB",
            flush=True,
        )
    lines = [
        ratio_line(f"gpu/{name}/compile", ratios(found[name], found[f"{name}/compile"]))
        for name in ("finetuning", "distillation", "distillation_cached")
        if f"{name}/compile" in found
    ]
    return [*lines, ratio_line("gpu/teacher_cache", ratios(found["distillation"], found["distillation_cached"]))]


def _cached_loss(teacher_logits: torch.Tensor) -> Callable[[PreTrainedModel, Batch], torch.Tensor]:
    """The distillation loss with cached teacher logits."""

    def loss(student: PreTrainedModel, batch: Batch) -> torch.Tensor:
        outputs = Outputs(classify(student, batch))
        compared: torch.Tensor = SoftTargets()(problem_of(student.config), outputs, Outputs(teacher_logits), batch)
        return compared

    return loss


def _step(
    machine: _Machine, model: PreTrainedModel, loss: Callable[[PreTrainedModel, Batch], torch.Tensor], batch: Batch
) -> Callable[[], None]:
    optimizer = AdamW(model.parameters(), lr=1e-5, fused=True)
    model.train()

    def step() -> None:
        with machine.bfloat16():
            value = loss(model, batch)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _scoring(machine: _Machine, size: str, rows: int) -> list[str]:
    """Scoring of a split for one lam: with gradients of the masks only, and with gradients of all weights."""
    teacher = nn.Module.to(random_classifier(size), machine.name)
    student, batches = uneven_student(teacher, 0.7), [machine.batch(rows)] * machine.steps
    plain = as_released_(copy.deepcopy(teacher)), as_released_(copy.deepcopy(student))
    works: dict[str, Callable[[], Any]] = {
        "plain": lambda: plain_scores(plain[0], batches, plain[1]),
        "ours": lambda: score_units(teacher, batches, [Knowledgeableness()], Distilled(student, SoftTargets())),
    }
    # Many batches per call, as for a split: our scoring ends with a hash of the weights, whose cost is fixed.
    found = _Machine(machine.name, 1, False).compare(works)
    print(f"\nscoring, float32, {len(batches)} batches of {rows} rows of {_LENGTH}")
    for name, seconds in found.items():
        milliseconds, peak = 1000 * statistics.median(seconds) / len(batches), machine.peak_memory(works[name])
        print(f"{name:32} {milliseconds:8.2f} ms a batch  peak {peak:6.0f} MiB")
    return [ratio_line("gpu/scoring", ratios(found["plain"], found["ours"]))]


def _latency(machine: _Machine, size: str, batches: list[int]) -> list[str]:
    """Forward passes of the dense model and of students, with bfloat16 weights."""
    models = students_of(random_classifier(size))
    for model in models.values():
        nn.Module.to(model, machine.name, torch.bfloat16)
    lines = []
    for rows in batches:
        batch = machine.batch(rows)
        # No row is padded. Without a mask, all models use the fast attention kernels.
        inputs = {"input_ids": batch["input_ids"]}
        works: dict[str, Callable[[], Any]] = {}
        for name, model in models.items():
            works[name] = partial(_infer, model, inputs)
            if "/compile" in machine.ends:
                works[f"{name}/compile"] = partial(_infer, torch.compile(model, dynamic=False), inputs)
        print(f"\nlatency, bfloat16, {rows} rows of {_LENGTH}")
        found = machine.compare(works)
        for name, seconds in found.items():
            dense = found[f"{DENSE}/compile" if name.endswith("/compile") else DENSE]
            milliseconds = 1000 * statistics.median(seconds)
            print(f"{name:32} {milliseconds:8.3f} ms  {1000 * rows / milliseconds:10.1f} rows/s", flush=True)
            if not name.startswith(DENSE):
                lines.append(ratio_line(f"gpu/latency/batch_{rows}/{name}", ratios(dense, seconds)))
    return lines


@torch.inference_mode()
def _infer(model: Any, inputs: Batch) -> None:  # noqa: ANN401 - compiled or not
    model(**inputs)


def main() -> None:
    """Run all GPU benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--size", default="base", choices=list(SIZES))
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--fits", default="minilm", choices=["", *SIZES], help="size of the model of real fits")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("benchmarks.gpu: this machine has no CUDA device; --device cpu --size mini --steps 2 tries it out")
    machine = _Machine(options.device, options.steps, options.compile)
    torch.set_float32_matmul_precision("high")
    print(header(torch.get_num_threads()))
    if options.device == "cuda":
        print(f"device: {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    lines = _training(machine, options.size, options.rows)
    lines += _scoring(machine, options.size, options.rows)
    # Each model and batch size is compiled separately.
    torch._dynamo.config.recompile_limit = 64
    lines += _latency(machine, options.size, options.batches)
    if options.fits:
        lines += fit_lines(options.device, options.fits, options.rows, 400 if machine.name == "cuda" else 8, _ROUNDS)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
