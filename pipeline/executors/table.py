"""All executors by their names in YAML."""

from __future__ import annotations

from pipeline.executors.executor import Executor
from pipeline.executors.local import Local
from pipeline.executors.on_ray import OnRay
from pipeline.settings import ExecutorName

__all__ = ["EXECUTORS", "open_executor"]

EXECUTORS: dict[ExecutorName, type[Executor]] = {"local": Local, "ray": OnRay}
"""The executors. Opening their files imports neither torch nor a cluster's library."""


def open_executor(name: ExecutorName) -> Executor:
    """Make the executor of one command.

    Args:
        name: Name of the executor.

    Returns:
        A new executor.

    Examples:
        >>> open_executor("local").threads(1) is None
        True
    """
    return EXECUTORS[name]()
