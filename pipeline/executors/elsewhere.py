"""Fits and trials outside of this process: start, wait, and forward signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

from pipeline.executors.executor import Executor
from pipeline.executors.local import Local
from pipeline.parsing.plain_text import printable

__all__ = ["are_stopping", "go_on", "run_elsewhere", "stop_all", "was_lost"]


# The executors whose commands run, so that a signal to this process can be forwarded to all of them.
_running: set[Executor] = set()
_stopping = threading.Event()


def run_elsewhere(
    command: list[str], log: Path | None = None, *, executor: Executor | None = None, workers: int = 1, gpus: int = 0
) -> None:
    """Run a command of `stark` outside of this process, and forward signals to it.

    Args:
        command: The command line.
        log: File for its output; None, on this machine only, to print to this process's output.
        executor: Executor of this command alone; None for a process of this machine.
        workers: Number of commands that run at a time.
        gpus: Number of GPUs of the command; only Ray uses it.

    Raises:
        CalledProcessError: If the command fails.
        Interrupted: If this process got a signal to stop; then the command has stopped as well.
        StarkError: If the executor is not available.
    """
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    executor = executor or Local()
    _running.add(executor)
    try:
        if _stopping.is_set():  # stop_all was called before
            executor.stop(signal.SIGTERM)
        status = executor.run(command, log, workers=workers, gpus=gpus)
    finally:
        _running.discard(executor)
    if status:
        if log is not None and status < 128:
            lines = log.read_text(errors="replace").splitlines()
            print(printable(f"{lines[-1] if lines else ''}\n(all that it printed: {log})"), file=sys.stderr)
        raise subprocess.CalledProcessError(status, command)


def was_lost(error: subprocess.CalledProcessError) -> bool:
    """Whether a command was killed, for example by the system for lack of memory, and did not fail by itself.

    Args:
        error: An exception that `run_elsewhere` raised.

    Returns:
        Whether the command can be expected to resume where it was.

    Examples:
        >>> [was_lost(subprocess.CalledProcessError(status, [])) for status in (128 + signal.SIGKILL, 2)]
        [True, False]
    """
    return error.returncode > 128


def stop_all(signum: int) -> None:
    """Stop all commands; the threads that wait for them continue when they have ended.

    Args:
        signum: Number of the signal that they get.
    """
    _stopping.set()
    for executor in list(_running):
        executor.stop(signum)


def go_on() -> None:
    """Reset `stop_all` after all commands have ended."""
    _stopping.clear()


def are_stopping() -> bool:
    """Whether `stop_all` was called; then a command that ends was not lost."""
    return _stopping.is_set()
