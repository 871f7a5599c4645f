"""GPU benchmarks: latency with and without CUDA graphs, scoring, and steps of real fits; three minutes on an H100.

Fits are those of a small encoder on rows with the lengths of SST-2, and of BERT-base on rows of 128 tokens. They are
compared with the plain way and with Hugging Face's `Trainer`. At the end the figures are printed as the table for
docs/performance.md. To try the benchmark without a GPU, give
`--device cpu --size mini --small mini --steps 2 --rows 4 --rounds 1`.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from benchmarks.gpu_fits import fit_figures
from benchmarks.measuring import Figure, Sample, alternate, figure_line, figure_table, header, matrix_rate, ratios
from benchmarks.models import MAX_LENGTH, SIZES, random_classifier, uneven_student
from benchmarks.plain import as_released_, plain_scores
from pipeline.deploy.classifier import answer_of
from pipeline.results.measure import count_flops
from stark.forward.classifying import Batch, classify, needed_inputs
from stark.losses.soft_targets import SoftTargets
from stark.scores.knowledgeableness import Knowledgeableness
from stark.scores.score import Distilled
from stark.scores.scoring import score_units

__all__ = ["main"]

_SPARSITY = 0.9
# No further round of fits starts after so many seconds: those of the small model, and all.
_SECONDS = (100, 150)


class _Machine:
    """The device, with its timing and synchronisation."""

    def __init__(self, name: str, steps: int, rounds: int) -> None:
        self.name, self.steps, self.rounds = name, steps, rounds

    def batch(self, rows: int, device: str | None = None) -> Batch:
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randint(1000, 30000, (rows, MAX_LENGTH), generator=generator)
        batch = {"input_ids": inputs, "attention_mask": torch.ones_like(inputs), "labels": torch.arange(rows) % 2}
        return {name: tensor.to(device or self.name) for name, tensor in batch.items()}

    def compare(self, works: dict[str, Callable[[], Any]], calls: int = 1) -> dict[str, list[float]]:
        """Milliseconds per call of each work, per round."""
        for work in works.values():  # kernels are chosen, memory is allocated, the third call records a graph
            for _ in range(3):
                work()
        ways = {name: partial(self._time, work, calls) for name, work in works.items()}
        return {name: [1000 * sample.wall for sample in found] for name, found in alternate(ways, self.rounds).items()}

    def _time(self, work: Callable[[], Any], calls: int) -> Sample:
        self._wait()
        start = time.perf_counter()
        for _ in range(calls):
            work()
        self._wait()
        return Sample((time.perf_counter() - start) / calls)

    def _wait(self) -> None:
        if self.name == "cuda":
            torch.cuda.synchronize()

    def peak_memory(self, work: Callable[[], Any]) -> float:
        if self.name != "cuda":
            return 0.0
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() / 2**20


def _latency(machine: _Machine, size: str, batches: list[int]) -> list[Figure]:
    """Milliseconds until the logits are on the CPU, by the ordinary forward pass and by graphs."""
    dense = random_classifier(size)
    models = {"dense": dense, f"{_SPARSITY:.0%} student": uneven_student(dense, _SPARSITY)}
    figures = []
    for dtype in (torch.float32, torch.bfloat16):
        placed = {
            name: nn.Module.to(copy.deepcopy(model), machine.name, dtype).eval() for name, model in models.items()
        }
        for rows in batches:
            batch = machine.batch(rows, "cpu")
            works: dict[str, Callable[[], Any]] = {}
            for name, model in placed.items():
                works[name] = partial(_usual, model, batch)
                works[f"{name}, graphs"] = partial(answer_of(model), batch)
            found = machine.compare(works, machine.steps)
            for name, milliseconds in found.items():
                others = {}
                kind, _, way = name.partition(", ")
                if way:
                    others["the forward pass without graphs"] = ratios(found[kind], milliseconds)
                if kind != "dense":
                    others["the dense model"] = ratios(found[name.replace(kind, "dense")], milliseconds)
                shape = f"{size}, {str(dtype).removeprefix('torch.')}, {rows} rows of {MAX_LENGTH}"
                figures.append(_told(Figure(f"latency, {shape}: {name}", "ms", milliseconds, others)))
    return figures


@torch.inference_mode()
def _usual(model: PreTrainedModel, batch: Batch) -> Tensor:
    moved = {name: tensor.to(model.device) for name, tensor in needed_inputs(batch).items()}
    return classify(model, moved).cpu()


def _scoring(machine: _Machine, size: str, rows: int) -> list[Figure]:
    """Scoring of a split for one lam: with gradients of the masks only, and with gradients of all weights."""
    teacher = nn.Module.to(random_classifier(size), machine.name)
    # Many batches, as for a split: our scoring ends with a hash of the weights, whose cost is fixed.
    student, batches = uneven_student(teacher, 0.7), [machine.batch(rows)] * min(machine.steps, 20)
    plain = as_released_(copy.deepcopy(teacher)), as_released_(copy.deepcopy(student))
    works: dict[str, Callable[[], Any]] = {
        "the plain way": lambda: plain_scores(plain[0], batches, plain[1]),
        "ours": lambda: score_units(teacher, batches, [Knowledgeableness()], Distilled(student, SoftTargets())),
    }
    found = machine.compare(works)
    figures = []
    for name, milliseconds in found.items():
        others = {} if name != "ours" else {"the plain way": ratios(found["the plain way"], milliseconds)}
        shape = f"{size}, float32, {len(batches)} batches of {rows} rows of {MAX_LENGTH}"
        values = [value / len(batches) for value in milliseconds]
        figures.append(_told(Figure(f"scoring, {shape}: {name}", "ms a batch", values, others)))
        print(f"  peak memory {machine.peak_memory(works[name]):.0f} MiB", flush=True)
    return figures


def _told(figure: Figure) -> Figure:
    print(figure_line(figure), flush=True)
    return figure


def main() -> None:
    """Run all GPU benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--size", default="base", choices=list(SIZES), help="size of the large model")
    parser.add_argument("--small", default="minilm", choices=list(SIZES), help="size of the small model")
    parser.add_argument("--steps", type=int, default=60, help="steps of a fit of the large model; 4 times of the small")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32], help="rows of latencies")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit(
            "benchmarks.gpu: no CUDA device; --device cpu --size mini --small mini --steps 2 --rows 4 tries it out"
        )
    start, machine, large = time.monotonic(), _Machine(options.device, options.steps, options.rounds), options.size
    print(header(torch.get_num_threads()))
    peak = matrix_rate(torch.bfloat16, torch.get_num_threads(), 8192 if machine.name == "cuda" else 1024, machine.name)
    if options.device == "cuda":
        print(f"device: {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    print(f"products of bfloat16 matrices on the device: {peak / 1e12:.1f} TFLOP/s\n", flush=True)
    figures = _latency(machine, large, options.batches) + _scoring(machine, large, options.rows)
    first, last = (start + seconds for seconds in _SECONDS)
    small = fit_figures(options.device, options.small, options.rows, 4 * options.steps, options.rounds, until=first)
    figures += [_told(figure) for figure in small]
    whole = fit_figures(
        options.device,
        large,
        options.rows,
        options.steps,
        options.rounds,
        kinds=("finetuning",),
        whole=True,
        until=last,
    )
    flops = count_flops(random_classifier(large), options.rows, MAX_LENGTH, training=True)
    for figure in whole:
        figures.append(_told(figure))
        print(f"  {flops * statistics.median(figure.values) / peak:.1%} of the rate of matrix products", flush=True)
    print(f"\n{time.monotonic() - start:.0f} seconds\n\n{figure_table(figures)}")


if __name__ == "__main__":
    main()
