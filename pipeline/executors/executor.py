"""What an executor is: it runs one command, waits for it, and can stop it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path

__all__ = ["LOST", "Executor", "threads_of", "usable_cores"]

LOST = 128 + 9
"""Exit status of a command whose worker or node was lost."""


class Executor(ABC):
    """Runs one command of `stark` outside of this process; each command has an object of its own.

    To add one, write a subclass in a file of this folder and a line in ``table.py``. The command resumes from its own
    files, so an executor never runs a command twice: it returns a status above 128 for one that was killed, and the
    caller gives the command that resumes.
    """

    @classmethod  # noqa: B027 - most executors need nothing
    def check(cls) -> None:
        """Check that this machine has what the executor needs, before anything is written.

        Raises:
            StarkError: If it has not.
        """

    @abstractmethod
    def threads(self, workers: int) -> int | None:
        """The number of threads of the command.

        Args:
            workers: Number of commands that run at a time.

        Returns:
            The number; None to let the command choose.
        """

    @abstractmethod
    def run(self, command: list[str], log: Path | None, *, workers: int, gpus: int) -> int:
        """Run a command and wait for it.

        Args:
            command: The command line.
            log: File to which its output is appended; None, on this machine only, for this process's output.
            workers: Number of commands that run at a time.
            gpus: Number of GPUs that the command can use, as far as this machine knows.

        Returns:
            Exit status; 128 plus the number of the signal if the command was killed, `LOST` if its worker or node was.

        Raises:
            StarkError: If the command cannot be run.
        """

    @abstractmethod
    def stop(self, signum: int) -> None:
        """Request the command to stop, whether it runs or is not started yet; `run` then returns.

        Args:
            signum: Number of the signal that this process got.
        """


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(workers: int) -> int:
    """Return the share of this machine's cores that each of several commands gets.

    More threads than cores would make all of them several times slower. ``OMP_NUM_THREADS`` can only reduce the share.

    Args:
        workers: Number of commands that run at a time.
    """
    share, asked = max(1, usable_cores() // workers), os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(asked)) if asked.isdigit() and int(asked) else share
