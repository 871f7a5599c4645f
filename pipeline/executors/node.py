"""What a cluster's node does: it runs one command, and stops it when this machine asks for that."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from callbacks import PARENT_VARIABLE
from pipeline.fits.isolation import SAFE_PATH

__all__ = ["asked_for", "node_work"]

# Variables by which a cluster describes the task that starts the command. Lightning would take them for its own.
_OF_A_TASK = ("SLURM_", "SUBMITIT_")


@contextmanager
def asked_for(sign: Path) -> Iterator[None]:
    """Ask for a command, until the context ends.

    A cluster's own way to cancel a task is not used: it does not always reach the command, or kills it before it has
    written its checkpoint.

    Args:
        sign: A file that exists meanwhile, on the file system that the nodes share. The command stops when it is
            removed.
    """
    sign.touch()
    try:
        yield
    finally:
        sign.unlink(missing_ok=True)


def node_work(
    command: list[str],
    log: Path,
    sign: Path,
    threads: int,
    *,
    patience: float | None = None,
    warning: int | None = None,
) -> Callable[[], int]:
    """Make the function that a node calls.

    The node must have the current folder and the log's folder at the same paths, on a shared file system, and the same
    Python environment.

    Args:
        command: Command line of the process.
        log: File for its output.
        sign: File of `asked_for`.
        threads: Number of its threads.
        patience: Seconds after which the node stops a command whose `sign` nobody has touched; None if
            the cluster stops the work of a machine that has died.
        warning: Number of the signal by which the cluster announces that the time is over, so that the command stops;
            None if it announces nothing.

    Returns:
        The function. It returns the exit status of the process, 128 plus the number of the signal if it was killed.
        It is pickled as a whole and imports none of our modules.
    """
    # A cluster that was started before has not inherited this process's environment.
    path = {**SAFE_PATH, **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}}
    path["OMP_NUM_THREADS"] = str(threads)
    folder, printed, wanted = os.getcwd(), str(log.absolute()), str(sign.absolute())
    parent, left_out = PARENT_VARIABLE, _OF_A_TASK

    def run() -> int:
        import os
        import signal
        import subprocess
        import time

        environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        environment |= {**path, parent: str(os.getpid())}
        seen, touched = time.monotonic(), 0

        def is_wanted() -> bool:
            nonlocal seen, touched
            try:
                found = os.stat(wanted).st_mtime_ns
            except FileNotFoundError:
                return False
            except OSError:  # a shared file system may be away for a moment
                found = touched
            # Times of two machines are not compared.
            if found != touched:
                seen, touched = time.monotonic(), found
            return patience is None or time.monotonic() - seen <= patience

        warned: list[int] = []
        if warning is not None:
            # The cluster sends it to the process, too, which would die of it. Ignoring a signal is inherited.
            signal.signal(warning, signal.SIG_IGN)
        if not is_wanted():
            return 128 + signal.SIGTERM
        with open(printed, "ab") as output:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
            )
            if warning is not None:
                signal.signal(warning, lambda signum, _: warned.append(signum))
            try:
                told = False
                while (status := process.poll()) is None:
                    time.sleep(0.2)
                    if not told and (warned or not is_wanted()):
                        process.terminate()
                        told = True
            except BaseException:  # the worker is taken away
                process.terminate()
                process.wait()
                raise
        return status if status >= 0 else 128 - status

    return run
