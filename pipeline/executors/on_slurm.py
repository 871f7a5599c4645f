"""Commands as jobs of SLURM, submitted by submitit."""

from __future__ import annotations

import math
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from pipeline.executors.executor import LOST, Executor
from pipeline.executors.node import asked_for, node_work
from pipeline.parsing.durations import seconds_of
from pipeline.parsing.extras import need_extra
from pipeline.parsing.plain_text import printable
from pipeline.settings import SlurmSettings
from stark.errors import StarkError

__all__ = ["OnSlurm"]

_POLL = 1.0
# State of a job that has ended, because it is not requeued, although submitit expects it to be.
_PREEMPTED = "PREEMPTED"
# Seconds after which a job stops that this process does not wait for any more; nodes may see files a minute late.
_PATIENCE = 180.0


class OnSlurm(Executor):
    """Submits a command as a job and waits for it.

    A job that is preempted, or reaches its time limit, writes a checkpoint if SLURM gives it the time, and is not
    requeued: the command that resumes it is a new job.

    Args:
        settings: What to ask SLURM for.
        folder: Folder for what SLURM and submitit write, in one folder for each job, on the shared file system. It is
            removed when the command has ended by itself.
    """

    def __init__(self, settings: SlurmSettings, folder: Path) -> None:
        """Begin without a job."""
        self._settings, self._folder = settings, folder
        self._is_stopped = threading.Event()

    @classmethod
    def check(cls) -> None:
        """Check that submitit is installed and that jobs can be submitted here."""
        need_extra("slurm", "executor slurm", "submitit")
        if missing := [name for name in ("sbatch", "srun", "sacct", "scancel") if shutil.which(name) is None]:
            raise StarkError(
                f"executor is slurm, but this machine has no {missing[0]}: give the command where you submit jobs"
            )

    def threads(self, workers: int) -> int:
        """The cores of a job."""
        return self._settings.cpus

    def run(self, command: list[str], log: Path | None, *, workers: int, gpus: int) -> int:
        """Run a process as a job and wait for it; see `Executor`.

        Raises:
            StarkError: If SLURM refuses the job, or the process cannot be started on its node.
        """
        from submitit import SlurmJob
        from submitit.core.utils import FailedJobError, UncompletedJobError

        assert log is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        # A new folder, because results are pickles: no file that was here before is read.
        place = Path(tempfile.mkdtemp(prefix=f"{log.parent.name}-{log.stem}-", dir=self._folder.absolute()))
        sign = place / "wanted"  # in that folder, so that an earlier job is not asked for by this one's file
        work = node_work(command, log, sign, self._settings.cpus, patience=_PATIENCE, warning=signal.SIGUSR2)
        with asked_for(sign):
            job: SlurmJob[int] = self._submit(place, work)
            while not self._has_ended(job):
                if not self._is_stopped.wait(_POLL):
                    sign.touch()
                elif sign.exists():
                    # A running job stops by itself, because SLURM would kill it before its checkpoint is written.
                    sign.unlink()
                    subprocess.run(["scancel", "--state=PENDING", job.job_id], check=False)
                else:
                    time.sleep(_POLL)
        if self._is_stopped.is_set() and not job.paths.result_pickle.exists():
            shutil.rmtree(place)
            return LOST
        try:
            if job.state.startswith(_PREEMPTED) and not job.paths.result_pickle.exists():
                raise UncompletedJobError  # submitit would wait for it
            status = int(job.result())
        except FailedJobError as error:
            raise StarkError(
                f"SLURM could not run {shlex.join(command)}: {_last_line(_trace(error))} (all that it printed: "
                f"{job.paths.stderr})"
            ) from error
        except UncompletedJobError:
            told = f"SLURM job {job.job_id} of {log.parent} ended without a result, its state is {job.state}"
            print(printable(f"{told}: {job.paths.stderr} and {log} may say why"), file=sys.stderr)
            return LOST
        shutil.rmtree(place)
        return status

    def stop(self, signum: int) -> None:
        """Let the node stop the command, by SIGTERM, or cancel the job if it has not begun."""
        self._is_stopped.set()

    def _submit(self, place: Path, work: Any) -> Any:  # noqa: ANN401 - a function and a job of submitit
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        settings = self._settings
        executor = SlurmExecutor(folder=place, python=f"{shlex.quote(sys.executable)} -P")
        asked: dict[str, Any] = {
            "job_name": "stark",
            "time": math.ceil(seconds_of(settings.time) / 60),
            "cpus_per_task": settings.cpus,
            # Newer versions of srun do not take it from the job.
            "srun_args": [f"--cpus-per-task={settings.cpus}"],
            "additional_parameters": {"no-requeue": True},
        }
        if settings.partition is not None:
            asked["partition"] = settings.partition
        if settings.gpus:
            asked["gpus_per_node"] = settings.gpus
        executor.update_parameters(**asked)
        try:
            return executor.submit(work)
        except (FailedJobError, FailedSubmissionError) as error:
            shutil.rmtree(place)
            raise StarkError(
                f"sbatch refused a job ({_last_line(str(error))}): look at the settings of slurm"
            ) from error

    def _has_ended(self, job: Any) -> bool:  # noqa: ANN401 - a job of submitit
        return bool(job.done(force_check=self._is_stopped.is_set())) or job.state.startswith(_PREEMPTED)


def _trace(error: Exception) -> str:
    """The traceback in submitit's message about a function that failed, which is between two lines of dashes."""
    parts = re.split(r"^-{5,}$", str(error), flags=re.MULTILINE)
    return parts[1] if len(parts) > 2 else str(error)


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
