"""Commands as tasks of a Ray cluster, which is started on this machine or is the one at ``RAY_ADDRESS``."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.executors.executor import LOST, Executor, threads_of
from pipeline.executors.node import asked_for, node_work
from pipeline.parsing.extras import needs_extra
from pipeline.parsing.plain_text import printable
from stark.errors import StarkError

__all__ = ["OnRay"]

_START_SECONDS = 180.0
"""Seconds that a cluster on this machine may take to start. Ray's limit of 30 s is too short on a busy machine."""
_CONNECTING = {"RAY_gcs_server_port_wait_time_s": "4"}
"""Number of attempts to connect to a cluster elsewhere, 41 s each; Ray's default takes a quarter of an hour."""

# One thread starts the cluster, the others use it.
_starting = threading.Lock()


class OnRay(Executor):
    """Runs a command as a task of the cluster at ``RAY_ADDRESS``, or of one that is started on this machine.

    A cluster on this machine ends with this process. `node_work` states what the nodes need.
    """

    def __init__(self) -> None:
        """Begin without a task."""
        self._sign: Path | None = None
        self._is_stopped = False

    @classmethod
    def check(cls) -> None:
        """Check that Ray is installed."""
        _ray()

    def threads(self, workers: int) -> int:
        """A share of this machine's cores, as many of which a task occupies on its node."""
        return threads_of(workers)

    def run(self, command: list[str], log: Path | None, *, workers: int, gpus: int) -> int:
        """Run a process on a node of the cluster and wait for it; see `Executor`.

        Raises:
            StarkError: If there is no cluster, or the task cannot be run, for example because a node lacks the folder.
        """
        assert log is not None
        ray, cpus = _ray(), self.threads(workers)
        _start(ray)
        self._sign = Path(f"{log.absolute()}.running")
        with asked_for(self._sign):
            if self._is_stopped:  # stop was called before there was a file to remove
                self._sign.unlink()
            work = ray.remote(node_work(command, log, self._sign, cpus))
            try:
                return int(ray.get(work.options(num_cpus=cpus, num_gpus=gpus, max_retries=0).remote()))
            except ray.exceptions.RayTaskError as error:
                raise StarkError(f"Ray could not run {' '.join(command)}: {str(error).splitlines()[-1]}") from error
            except ray.exceptions.RayError as error:
                print(printable(f"{log.parent}: {type(error).__name__}"), file=sys.stderr)
                return LOST

    def stop(self, signum: int) -> None:
        """Let the node stop the command, by SIGTERM."""
        self._is_stopped = True
        if self._sign is not None:
            self._sign.unlink(missing_ok=True)


def _start(ray: Any, **how: Any) -> None:  # noqa: ANN401 - a module without types
    """Use this process's cluster, connect to the one at ``RAY_ADDRESS``, or start one on this machine.

    Raises:
        StarkError: If that fails; then no process of the cluster is left.
    """
    with _starting:
        if ray.is_initialized():
            return
        # Ray sends no usage reports.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        patience = _CONNECTING
        if "RAY_ADDRESS" not in os.environ:
            how = {"include_dashboard": False, **how}
            names = ("RAY_gcs_server_port_wait_time_s", "RAY_worker_register_timeout_seconds")
            patience = dict.fromkeys(names, f"{_START_SECONDS:.0f}")
        for name, value in patience.items():
            os.environ.setdefault(name, value)
        try:
            with _patience(ray):
                ray.init(logging_level="ERROR", log_to_driver=False, job_config=_job_config(), **how)
        except Exception as error:  # Ray raises plain exceptions
            _remove_parts(error)
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            if address := os.environ.get("RAY_ADDRESS"):
                raise StarkError(f"no Ray cluster could be reached at RAY_ADDRESS {address}: {reason}") from error
            raise StarkError(
                f"Ray did not start on this machine ({reason}): give the same command again when it is less busy, or "
                "start a cluster with `ray start --head` and set RAY_ADDRESS=auto"
            ) from error


@contextmanager
def _patience(ray: Any) -> Iterator[None]:  # noqa: ANN401 - a module without types
    """Make Ray wait longer for its own node: its code has a fixed limit of 30 s for repeated requests."""
    services, deadline = ray._private.services, time.monotonic() + _START_SECONDS
    ask = services.get_node

    def get_node(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - Ray's own
        while True:
            try:
                return ask(*args, **kwargs)
            except RuntimeError as error:  # the node is not ready yet
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"its processes were not ready after {_START_SECONDS:g} s") from error
                time.sleep(0.2)

    services.get_node = get_node
    try:
        yield
    finally:
        services.get_node = ask


def _remove_parts(error: BaseException) -> None:
    """End the processes of a node that failed to start; Ray does so only when this process ends."""
    trace = error.__traceback__
    while trace is not None:
        node: Any = trace.tb_frame.f_locals.get("self")
        if hasattr(node, "kill_all_processes"):
            node.kill_all_processes(check_alive=False, allow_graceful=False)
        trace = trace.tb_next


def _job_config() -> Any:  # noqa: ANN401 - a class of a module without types
    """A job whose workers do not import from this process's current folder, which Ray puts first on their path."""
    from ray.job_config import JobConfig

    class InstalledCodeOnly(JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            # Ray calls this only to decide whether to put the folder there; it has no option for that.
            return True

    return InstalledCodeOnly()


def _ray() -> Any:  # noqa: ANN401 - a module without types
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise StarkError(needs_extra("executor ray", "ray", "ray")) from error
    return ray
