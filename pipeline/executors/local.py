"""Commands as processes of this machine."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

from callbacks import PARENT_VARIABLE, Interrupted
from pipeline.executors.executor import Executor, threads_of
from pipeline.fits.isolation import SAFE_PATH

__all__ = ["Local"]


class Local(Executor):
    """Runs a command as a process of this machine."""

    def __init__(self) -> None:
        """Begin without a process."""
        self._process: subprocess.Popen[bytes] | None = None
        self._signum = 0

    def threads(self, workers: int) -> int | None:
        """A share of the cores; None for a command that runs alone."""
        return threads_of(workers) if workers > 1 else None

    def run(self, command: list[str], log: Path | None, *, workers: int, gpus: int) -> int:
        """Run a process and wait for it; see `Executor`."""
        # In another process group, so that it gets Ctrl-C only once, from this process; it stops when this process
        # dies.
        environment = {**os.environ, **SAFE_PATH, PARENT_VARIABLE: str(os.getpid())}
        if (threads := self.threads(workers)) is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        with ExitStack() as files:
            output = None if log is None else files.enter_context(log.open("ab"))
            process = files.enter_context(
                subprocess.Popen(command, start_new_session=True, env=environment, stdout=output, stderr=output)
            )
            self._process = process
            try:
                if self._signum:  # stop was called while it was started
                    process.send_signal(self._signum)
                status = process.wait()
            except Interrupted as stop:
                process.send_signal(stop.signum)
                process.wait()
                raise
        return status if status >= 0 else 128 - status

    def stop(self, signum: int) -> None:
        """Forward the signal to the process."""
        self._signum = signum
        if self._process is not None:
            self._process.send_signal(signum)
