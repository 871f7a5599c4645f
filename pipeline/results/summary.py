"""The end of a run: every model measured, the best chosen on the selection part, then dev."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.execution.outputs import read_json
from pipeline.run_folder import RunFolder

__all__ = ["SCHEMA", "Trained", "read_summary"]


SCHEMA = 2


@dataclass(frozen=True)
class Trained:
    """A model of a run that is to be measured.

    Args:
        name: For a person.
        stage: That left it, in its folder ``model``.
        seed: Of its repetition; None for what all have in common.
        teacher_sparsity: Of its teacher; None for a model without one.
        lam: Of its teacher's score, if that has one.
        teacher: Folder of its sparse teacher.
        baseline: Name of the baseline that it belongs to; it is never chosen.
    """

    name: str
    stage: str
    seed: int | None = None
    teacher_sparsity: float | None = None
    lam: float | None = None
    teacher: str | None = None
    baseline: str | None = None


def read_summary(root: Path) -> dict[str, Any]:
    """Read what `summarize` gave.

    Args:
        root: The run's folder.

    Returns:
        The content of its ``summary.json``.

    Raises:
        DamagedError: If it is missing, or not what the run wrote.
        ValueError: If the folder is no run, or another version wrote it.
    """
    return read_json(root, RunFolder(root).summary.name, SCHEMA)
