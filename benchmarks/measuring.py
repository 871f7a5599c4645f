"""Times several ways of doing the same work in turns, so that the machine's state is the same for all of them."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.utils.benchmark import Timer

__all__ = [
    "Figure",
    "Sample",
    "alternate",
    "child",
    "figure_line",
    "figure_table",
    "header",
    "hold",
    "in_child",
    "matrix_rate",
    "peak_memory",
    "python_environment",
    "ratio_line",
    "ratio_lines",
    "ratios",
    "report",
    "stopwatch",
]

# A mebibyte in the units of getrusage().
_UNITS_OF_MAXRSS = 2**20 if sys.platform == "darwin" else 2**10
_PACKAGES = ("torch", "transformers", "pytorch-lightning")


@dataclass
class Sample:
    """Time and memory of one piece of work; `values` has its other results."""

    wall: float = 0.0
    cpu: float = 0.0
    #: Peak resident memory of the process in MiB; 0 if it was not measured.
    peak: float = 0.0
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A measured figure.

    Args:
        name: What was measured.
        unit: Unit of the values.
        values: One value per round.
        ratios: How many times faster this is than other ways, per round, by name of the other way.
    """

    name: str
    unit: str
    values: Sequence[float]
    ratios: Mapping[str, Sequence[float]] = field(default_factory=dict)


def figure_line(figure: Figure) -> str:
    """A figure as a line of text.

    Args:
        figure: The figure.

    Returns:
        Name, median, lowest and highest, and the same of each ratio.

    Examples:
        >>> figure_line(Figure("fit", "steps/s", [90.0, 100.0], {"the plain way": [2.0, 3.0]}))
        'fit: 95.0 [90.0-100.0] steps/s; 2.50 [2.00-3.00] times the plain way'
    """
    return f"{figure.name}: {_spread(figure.values)} {figure.unit}{''.join(f'; {text}' for text in _compared(figure))}"


def figure_table(figures: Sequence[Figure]) -> str:
    """Figures as a table in Markdown, for docs/performance.md.

    Args:
        figures: The figures.

    Returns:
        The table.

    Examples:
        >>> print(figure_table([Figure("fit", "steps/s", [100.0], {"the plain way": [2.0]})]))
        | measured | median [lowest-highest] | how many times as fast |
        |---|---|---|
        | fit | 100 [100-100] steps/s | 2.00 [2.00-2.00] times the plain way |
    """
    rows = ["| measured | median [lowest-highest] | how many times as fast |", "|---|---|---|"]
    rows += [f"| {one.name} | {_spread(one.values)} {one.unit} | {', '.join(_compared(one))} |" for one in figures]
    return "\n".join(rows)


def _compared(figure: Figure) -> list[str]:
    return [f"{_spread(values)} times {other}" for other, values in figure.ratios.items()]


def _spread(values: Sequence[float]) -> str:
    """Median, lowest and highest; three digits of the median."""
    median = statistics.median(values)
    decimals = 0 if median >= 99.95 else 1 if median >= 10 else 2
    return f"{median:.{decimals}f} [{min(values):.{decimals}f}-{max(values):.{decimals}f}]"


@contextmanager
def stopwatch() -> Iterator[Sample]:
    """Measure a block: wall and CPU seconds of this process with all threads, and its peak memory since its start.

    Yields:
        The sample; it is complete after the block.
    """
    sample, wall, cpu = Sample(), time.perf_counter(), time.process_time()
    yield sample
    sample.wall, sample.cpu = time.perf_counter() - wall, time.process_time() - cpu
    sample.peak = peak_memory()


def peak_memory() -> float:
    """The most resident memory that this process has had so far, in MiB."""
    try:
        # Not getrusage(): its peak starts with the one of the parent process.
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _UNITS_OF_MAXRSS


def alternate(
    ways: Mapping[str, Callable[[], Sample]], rounds: int, until: float | None = None
) -> dict[str, list[Sample]]:
    """Run every way once per round; every second round is in reversed order, so that no way always comes first.

    Args:
        ways: The ways by name.
        rounds: Number of rounds.
        until: Time of `time.monotonic` after which no further round starts; the first one always does.

    Returns:
        The samples of each way, one per round.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in ways}
    for number in range(rounds):
        if number and until is not None and time.monotonic() > until:
            break
        for name in list(ways) if number % 2 == 0 else reversed(list(ways)):
            samples[name].append(ways[name]())
    return samples


def ratios(plain: Iterable[float], ours: Iterable[float]) -> list[float]:
    """How many times longer the plain way took in each round.

    Args:
        plain: The plain way's measurements, one per round.
        ours: Our measurements, one per round.

    Returns:
        The quotients.

    Examples:
        >>> ratios([4.0, 9.0], [2.0, 3.0])
        [2.0, 3.0]
    """
    return [a / b for a, b in zip(plain, ours, strict=True)]


def ratio_line(name: str, values: Sequence[float]) -> str:
    """A line of a benchmark's final result.

    Args:
        name: Name of the ratio, without spaces.
        values: The ratio of each round.

    Returns:
        Name, median, lowest and highest.

    Examples:
        >>> ratio_line("scoring/rte", [2.0, 3.0, 10.0])
        'scoring/rte ratio 3.00 [2.00-10.00]'
    """
    return f"{name} ratio {statistics.median(values):.2f} [{min(values):.2f}-{max(values):.2f}]"


def ratio_lines(name: str, plain: Sequence[Sample], ours: Sequence[Sample]) -> list[str]:
    """The ratio lines of wall seconds, CPU seconds and peak memory.

    Args:
        name: Name of the first ratio; the others are `name`/cpu and `name`/memory.
        plain: Samples of the plain way, one per round.
        ours: Samples of our way, one per round.

    Returns:
        Three lines.
    """
    parts = {"": "wall", "/cpu": "cpu", "/memory": "peak"}
    return [
        ratio_line(f"{name}{suffix}", ratios(*([getattr(sample, part) for sample in way] for way in (plain, ours))))
        for suffix, part in parts.items()
    ]


def report(name: str, samples: Sequence[Sample]) -> str:
    """A line about one way: median and range of wall seconds, CPU seconds, peak memory.

    Args:
        name: Name of the way.
        samples: Samples of all rounds.

    Returns:
        The line.
    """
    wall, cpu = [s.wall for s in samples], [s.cpu for s in samples]
    text = f"{name:24} {statistics.median(wall):9.4f} s [{min(wall):.4f}-{max(wall):.4f}]"
    text += f"  CPU {statistics.median(cpu):9.4f} s"
    peak = max(sample.peak for sample in samples)
    return f"{text}  peak {peak:6.0f} MiB" if peak else text


def python_environment(threads: int) -> dict[str, str]:
    """Environment of a measured process: fixed number of threads, no network, this project's packages importable.

    Args:
        threads: Number of threads of torch and its libraries.

    Returns:
        All environment variables.
    """
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    fixed = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **fixed, "PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false"}


def child(command: Sequence[str], threads: int) -> tuple[Sample, str]:
    """Run a Python process to its end and measure all of it.

    Args:
        command: Arguments of `python`.
        threads: Number of torch's threads.

    Returns:
        The sample, and the process's standard output.

    Raises:
        RuntimeError: If the process fails; the error contains its messages.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command], stdout=out, stderr=errors, env=python_environment(threads)
        )
        # Not wait(): wait4() returns the resource usage of this process alone, not of all children so far.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, errors):
            file.seek(0)
        printed = out.read()
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{errors.read()[-4000:]}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / _UNITS_OF_MAXRSS), printed


def in_child(module: str, options: Sequence[str], threads: int) -> Sample:
    """Run a module in a new process that prints a sample as JSON in its last line (see `hold`).

    The process measures times and peak memory itself, so they do not include its start and its later work.

    Args:
        module: Name of the module, such as ``benchmarks.scoring``.
        options: The module's command-line options.
        threads: Number of torch's threads.

    Returns:
        The sample.
    """
    _, printed = child(["-m", module, *options], threads)
    values = json.loads(printed.strip().splitlines()[-1])
    return Sample(values.pop("wall"), values.pop("cpu"), values.pop("peak"), values)


def hold(sample: Sample) -> None:
    """Print a sample for `in_child`.

    Args:
        sample: The measurements of this process.
    """
    print(json.dumps({"wall": sample.wall, "cpu": sample.cpu, "peak": sample.peak, **sample.values}))


@cache
def matrix_rate(dtype: torch.dtype, threads: int, size: int = 2048, device: str = "cpu") -> float:
    """FLOP/s that this machine reaches in a product of large square matrices.

    Args:
        dtype: Type of the matrices' elements.
        threads: Number of torch's threads.
        size: Number of rows and of columns.
        device: Device of the matrices.

    Returns:
        Floating point operations per second, as the median over about a second.
    """
    a = torch.randn(size, size, device=device).to(dtype)
    timer = Timer("a @ a", globals={"a": a}, num_threads=threads)
    timer.timeit(2)
    return 2 * size**3 / timer.blocked_autorange(min_run_time=1.0).median


def header(threads: int) -> str:
    """Machine, versions, load, and the rate of matrix products, on which all results depend.

    Args:
        threads: Number of torch's threads.

    Returns:
        Four lines.
    """
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    rates = ", ".join(
        f"{name} {matrix_rate(dtype, threads) / 1e9:.0f} GFLOP/s"
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    )
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return (
        f"machine: {_processor()}, {os.cpu_count()} cores, threads used: {threads}\n"
        f"versions: Python {platform.python_version()}, {versions}\n"
        f"matrix products: {rates}\n"
        f"load average: {load}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
