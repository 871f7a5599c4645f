"""Fits in separate processes, on this machine or on a cluster: start, wait, and forward signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from callbacks import PARENT_VARIABLE, Interrupted
from pipeline.fits.isolation import SAFE_PATH
from pipeline.fits.on_ray import cancel_all, run_on_ray
from pipeline.parsing.plain_text import printable
from pipeline.settings import Executor

__all__ = ["are_stopping", "fit_elsewhere", "go_on", "stop_all", "threads_of", "usable_cores", "was_lost"]


# The running processes, so that a signal to this process can be forwarded to all of them.
_running: set[subprocess.Popen[bytes]] = set()
_stopping = threading.Event()


def fit_elsewhere(
    command: list[str], log: Path | None = None, *, executor: Executor = "local", workers: int = 1, gpus: int = 0
) -> None:
    """Run a fit in a separate process, and forward signals to it.

    Args:
        command: Command line of the fit.
        log: File for the fit's output; None, for a local fit only, to print to this process's output.
        executor: Executor that runs the fit.
        workers: Number of fits that run at a time. They share the cores, because more threads than cores would make
            all of them several times slower; ``OMP_NUM_THREADS`` can only reduce the number of threads.
        gpus: Number of GPUs of the fit; only Ray uses it.

    Raises:
        CalledProcessError: If the fit fails.
        Interrupted: If this process got a signal to stop; then the fit has stopped as well.
        StarkError: If the executor is not available.
    """
    threads = threads_of(workers)
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    if executor == "ray":
        assert log is not None
        status = run_on_ray(command, log, cpus=threads, gpus=gpus)
    else:
        status = _run_here(command, log, threads if workers > 1 else None)
    if status:
        if log is not None and status < 128:
            lines = log.read_text(errors="replace").splitlines()
            print(printable(f"{lines[-1] if lines else ''}\n(all that it printed: {log})"), file=sys.stderr)
        raise subprocess.CalledProcessError(status, command)


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(workers: int) -> int:
    """Return the number of threads of a fit in a separate process.

    Args:
        workers: Number of fits that run at a time.
    """
    share, asked = max(1, usable_cores() // workers), os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(asked)) if asked.isdigit() and int(asked) else share


def _run_here(command: list[str], log: Path | None, threads: int | None) -> int:
    """Run a process on this machine and return its exit status."""
    # In another process group, so that it gets Ctrl-C only once, from this process; it stops when this process dies.
    environment = {**os.environ, **SAFE_PATH, PARENT_VARIABLE: str(os.getpid())}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    with ExitStack() as files:
        output = None if log is None else files.enter_context(log.open("ab"))
        process = files.enter_context(
            subprocess.Popen(command, start_new_session=True, env=environment, stdout=output, stderr=output)
        )
        _running.add(process)
        try:
            if _stopping.is_set():  # stop_all was called while it was started
                process.send_signal(signal.SIGTERM)
            status = process.wait()
        except Interrupted as stop:
            process.send_signal(stop.signum)
            process.wait()
            raise
        finally:
            _running.discard(process)
    return status if status >= 0 else 128 - status


def was_lost(error: subprocess.CalledProcessError) -> bool:
    """Whether a process was killed, for example by the system for lack of memory, and did not fail by itself.

    Args:
        error: An exception that `fit_elsewhere` raised.

    Returns:
        Whether the fit can be expected to resume from its checkpoint.

    Examples:
        >>> [was_lost(subprocess.CalledProcessError(status, [])) for status in (128 + signal.SIGKILL, 2)]
        [True, False]
    """
    return error.returncode > 128


def stop_all(signum: int) -> None:
    """Stop all fits; the threads that wait for them continue when they have ended.

    Args:
        signum: Number of the signal that they get.
    """
    _stopping.set()
    for process in list(_running):
        process.send_signal(signum)
    cancel_all()


def go_on() -> None:
    """Reset `stop_all` after all fits have ended."""
    _stopping.clear()


def are_stopping() -> bool:
    """Whether `stop_all` was called; then a fit that ends was not lost."""
    return _stopping.is_set()
