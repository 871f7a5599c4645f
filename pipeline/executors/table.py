"""All executors by their names in YAML."""

from __future__ import annotations

from pathlib import Path

from pipeline.executors.executor import Executor
from pipeline.executors.local import Local
from pipeline.executors.on_ray import OnRay
from pipeline.executors.on_slurm import OnSlurm
from pipeline.settings import ExecutorName, SlurmSettings

__all__ = ["EXECUTORS", "open_executor"]

EXECUTORS: dict[ExecutorName, type[Executor]] = {"local": Local, "ray": OnRay, "slurm": OnSlurm}
"""The executors. Importing their files imports neither torch nor a cluster's library."""


def open_executor(name: ExecutorName, slurm: SlurmSettings, jobs: Path) -> Executor:
    """Make the executor of one command.

    Args:
        name: Name of the executor.
        slurm: What to ask SLURM for; the others do not use it.
        jobs: Folder for what SLURM writes.

    Returns:
        A new executor.

    Examples:
        >>> open_executor("slurm", SlurmSettings(cpus=8), Path("runs/mrpc/slurm")).threads(workers=2)
        8
    """
    if name == "slurm":
        return OnSlurm(slurm, jobs)
    return OnRay() if name == "ray" else Local()
