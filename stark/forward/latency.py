"""Latency of models, measured in turns so that all models run under the same conditions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stark.forward.classifying import Batch

__all__ = ["Latency", "device_text", "fastest_calls", "measure_latency", "spread_text", "threads_text"]

_ROUNDS = 5
_SECONDS = 0.1
_CALLS = 20


@dataclass(frozen=True)
class Latency:
    """Latency of a call in milliseconds.

    Args:
        median: Median of the rounds.
        low: The fastest round.
        high: The slowest round.
    """

    median: float
    low: float
    high: float


def measure_latency(models: Mapping[str, Callable[[Batch], Tensor]], rows: int, length: int) -> dict[str, Latency]:
    """Measure the wall time of one batch, with the current number of torch threads.

    Args:
        models: By name; what is called has to bring its own number of threads to torch's. A GPU's answer counts when
            it has come to the CPU.
        rows: Number of rows of the batch.
        length: Tokens of each row; none is padding.

    Returns:
        The latencies by name of the model.
    """
    # Imported here because it prints a warning where CUDA is installed without a GPU.
    from torch.utils.benchmark import Timer

    batch = _full_batch(rows, length)
    found: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(_ROUNDS):
        for name in list(models) if turn % 2 == 0 else reversed(list(models)):
            names = {"model": models[name], "batch": batch}
            # Without the copy, calls on a GPU would be queued, and the next one would start too early.
            timer = Timer("model(batch).cpu()", globals=names, num_threads=torch.get_num_threads())
            found[name].append(1000 * timer.blocked_autorange(min_run_time=_SECONDS).median)
    return {name: Latency(statistics.median(times), min(times), max(times)) for name, times in found.items()}


def fastest_calls(
    models: Mapping[str, Callable[[Batch], Tensor]], device: torch.device, rows: int, length: int
) -> dict[str, float]:
    """Measure the time of one batch, without the time that other work on the machine takes.

    On a CPU it is the time that the calling thread computes, which does its share of each product, and not the time
    that it waits for a processor. On a GPU it is the wall time.

    Args:
        models: As in `measure_latency`.
        device: Device of the models.
        rows: Number of rows of the batch.
        length: Tokens of each row; none is padding.

    Returns:
        By name, the milliseconds of the fastest of 20 calls. They are made in turns, after one that does not count.
    """
    clock = time.thread_time if device.type == "cpu" else time.perf_counter
    batch = _full_batch(rows, length)
    found = dict.fromkeys(models, float("inf"))
    for turn in range(1 + _CALLS):
        for name, model in models.items():
            start = clock()
            model(batch).cpu()  # a GPU's answer counts when it has come to the CPU
            if turn:
                found[name] = min(found[name], 1000 * (clock() - start))
    return found


def _full_batch(rows: int, length: int) -> Batch:
    """A batch without padding."""
    inputs = torch.ones(rows, length, dtype=torch.long)
    return {"input_ids": inputs, "attention_mask": inputs, "token_type_ids": torch.zeros_like(inputs)}


def spread_text(latency: Latency) -> str:
    """Format a latency.

    Args:
        latency: The latency.

    Returns:
        Milliseconds with their range; values below 10 have one more decimal.

    Examples:
        >>> spread_text(Latency(8.214, 7.9, 30.0)), spread_text(Latency(53.26, 51.0, 60.1))
        ('8.21 [7.90, 30.00]', '53.3 [51.0, 60.1]')
    """
    decimals = 2 if latency.median < 10 else 1
    return f"{latency.median:.{decimals}f} [{latency.low:.{decimals}f}, {latency.high:.{decimals}f}]"


def threads_text() -> str:
    """The number of torch threads, as text."""
    number = torch.get_num_threads()
    return "one thread" if number == 1 else f"{number} threads"


def device_text(device: str) -> str:
    """The name of a device, as text.

    Args:
        device: Name of a torch device.

    Examples:
        >>> device_text("cpu"), device_text("cuda"), device_text("cuda:1")
        ('CPU', 'GPU', 'GPU:1')
    """
    return device.replace("cuda", "gpu").upper()
