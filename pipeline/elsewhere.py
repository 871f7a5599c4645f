"""Fits in processes of their own: started, waited for, told of signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from callbacks import PARENT_VARIABLE, Interrupted

__all__ = ["are_stopping", "fit_elsewhere", "go_on", "stop_all", "was_lost"]

# Those that run now, so that a signal to this process can be handed on to all of them.
_running: set[subprocess.Popen[bytes]] = set()
_stopping = threading.Event()


def fit_elsewhere(command: list[str], workers: int = 1, log: Path | None = None) -> None:
    """Run a fit in a process of its own, and hand on a signal that this one gets.

    Args:
        command: The process.
        workers: How many run at a time; unless the environment says how many threads each has, they share the cores.
        log: Where its output goes; None for where ours goes.

    Raises:
        CalledProcessError: If it fails.
        Interrupted: If this process was told to stop; the fit has stopped then.
    """
    # Not in our group, so that Ctrl-C comes to it once, from here; it stops by itself when this process dies.
    environment = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
    if workers > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    with ExitStack() as files:
        output = None
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = files.enter_context(log.open("ab"))
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
    if status:
        if log is not None and 0 < status < 128:
            lines = log.read_text(errors="replace").splitlines()
            print(f"{lines[-1] if lines else ''}\n(all that it printed: {log})", file=sys.stderr)
        raise subprocess.CalledProcessError(status if status > 0 else 128 - status, command)


def was_lost(error: subprocess.CalledProcessError) -> bool:
    """Whether a process was killed, by the system for memory or by somebody, rather than that it failed.

    Args:
        error: Of :func:`fit_elsewhere`.

    Returns:
        Whether it can be expected to go on from its checkpoint.

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


def go_on() -> None:
    """Take :func:`stop_all` back, when all have ended."""
    _stopping.clear()


def are_stopping() -> bool:
    """Whether :func:`stop_all` was called, so that what ends was not lost."""
    return _stopping.is_set()
