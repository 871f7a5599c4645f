"""Fits in processes of their own, here or on a cluster: started, waited for, told of signals."""

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


# Those that run now, so that a signal to this process can be handed on to all of them.
_running: set[subprocess.Popen[bytes]] = set()
_stopping = threading.Event()


def fit_elsewhere(
    command: list[str], log: Path | None = None, *, executor: Executor = "local", workers: int = 1, gpus: int = 0
) -> None:
    """Run a fit in a process of its own, and hand on a signal that this one gets.

    Args:
        command: The process.
        log: File for its output; None, for a local fit only, for that of this process.
        executor: Where the fit runs.
        workers: How many run at a time. They share the cores, as more threads than cores slow each other down many
            times; ``OMP_NUM_THREADS`` can only make them fewer.
        gpus: Number of GPUs that it needs; only Ray uses it.

    Raises:
        CalledProcessError: If it fails.
        Interrupted: If this process was told to stop; the fit has stopped then.
        StarkError: If there is no such executor here.
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
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(workers: int) -> int:
    """How many threads a fit has in a process of its own.

    Args:
        workers: How many run at a time.
    """
    share, asked = max(1, usable_cores() // workers), os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(asked)) if asked.isdigit() and int(asked) else share


def _run_here(command: list[str], log: Path | None, threads: int | None) -> int:
    """Run a process on this machine; its exit status."""
    # Not in our group, so that Ctrl-C comes to it once, from here; it stops by itself when this process dies.
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
            if _stopping.is_set():  # told while it was started
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
    """Whether a process was killed, by the system for memory or by somebody, rather than that it failed.

    Args:
        error: An exception that `fit_elsewhere` raised.

    Returns:
        Whether it can be expected to go on from its checkpoint.

    Examples:
        >>> [was_lost(subprocess.CalledProcessError(status, [])) for status in (128 + signal.SIGKILL, 2)]
        [True, False]
    """
    return error.returncode > 128


def stop_all(signum: int) -> None:
    """Tell all fits to stop; those who wait for them see them end.

    Args:
        signum: The signal.
    """
    _stopping.set()
    for process in list(_running):
        process.send_signal(signum)
    cancel_all()


def go_on() -> None:
    """Take `stop_all` back, when all have ended."""
    _stopping.clear()


def are_stopping() -> bool:
    """Whether `stop_all` was called, so that what ends was not lost."""
    return _stopping.is_set()
