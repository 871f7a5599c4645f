"""A rough estimate of the time that a run still takes, from its finished stages."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from callbacks.epoch_lines import duration_text
from pipeline.run_folder import DISTILL, RunFolder, kind_of, without_seed

__all__ = ["TimeLeft", "time_left"]

_TRIAL = RunFolder(Path()).trial.name


@dataclass(frozen=True)
class TimeLeft:
    """The time that stages still take.

    Args:
        seconds: The time of all stages of which a finished one is of the same kind.
        is_whole: Whether these are all stages of the run.
    """

    seconds: float
    is_whole: bool

    def __str__(self) -> str:
        """The estimate as text, such as ``about 3 min`` or ``more than 3 min``; empty if it is below a second."""
        if self.seconds < 1:
            return ""
        return f"{'about' if self.is_whole else 'more than'} {duration_text(self.seconds)}"


def time_left(
    stages: Iterable[str], seconds: Mapping[str, float], spent: Mapping[str, float], *, workers: int = 1
) -> TimeLeft:
    """Estimate the time that stages still take: each as long as finished stages of its kind took on average.

    Args:
        stages: Names of the stages that are running or waiting.
        seconds: Seconds of whole stages, by name.
        spent: Seconds since the start of those that are running, by name.
        workers: Number of stages that run at a time.

    Returns:
        The estimate.

    Examples:
        >>> str(time_left(["distill/0.5_0.1", "distill/0.5_0.2"], {"trial": 50.0}, {"distill/0.5_0.1": 20.0}))
        'about 80 s'
        >>> str(time_left(["distill/0.5_0.1", "evaluate"], {"trial": 50.0}, {}))
        'more than 50 s'
    """
    kinds: dict[tuple[str, bool], list[float]] = {}
    for name, known in seconds.items():
        kinds.setdefault(_kind(name), []).append(known)
    total, is_whole = 0.0, True
    for name in stages:
        if name in seconds:
            whole = seconds[name]
        elif _kind(name) in kinds:
            whole = statistics.fmean(kinds[_kind(name)])
        else:
            is_whole = False
            continue
        total += max(0.0, whole - spent.get(name, 0.0))
    return TimeLeft(total / workers, is_whole)


def _kind(name: str) -> tuple[str, bool]:
    """The kind of a stage: a trial is a distillation, and scoring a teacher is not like cutting one."""
    kind = DISTILL if without_seed(name) == _TRIAL else kind_of(name)
    return kind, "/" in without_seed(name) or kind == DISTILL
