"""The results of checking an export before it is kept: ``check.json`` in its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.execution.belongings import EXPORT_CHECK
from stark.errors import StarkError
from stark.forward.latency import Latency
from stark.storage import write_json

__all__ = ["Alone", "Check", "TeacherForm", "alone_text", "change_text", "read_check", "write_check"]


@dataclass(frozen=True)
class Alone:
    """Whether an exported model's answer for a row depends on the other rows of its batch.

    Args:
        rows: Number of dev rows that were classified again, each in a separate batch.
        changed: Number of rows with another class than in their batch; None where there are no classes.
        logit_difference: Largest difference from the logits in their batch, over all rows and classes.
    """

    rows: int
    changed: int | None
    logit_difference: float

    @property
    def count(self) -> str:
        """How many rows have another class; empty where there are no classes."""
        return "" if self.changed is None else f"{self.changed} of {self.rows}"


@dataclass(frozen=True)
class TeacherForm:
    """The dense teacher of the model's run, exported in the same way; shows the effect of 8 bits without pruning.

    Args:
        score: Score on the dev rows, the mean of the task's metrics as GLUE takes it.
        megabytes: Size of its folder in MB.
        latency: Latency by ``ROWSxLENGTH``.
    """

    score: float
    megabytes: float
    latency: dict[str, Latency]


@dataclass(frozen=True)
class Check:
    """Comparison of an exported model with its original model, on the labelled dev rows.

    Args:
        format: Format of the export.
        int8: Whether its weights have 8 bits.
        task: Name of the task of the dev rows.
        rows: Number of rows.
        score: Score of the exported model, the mean of the task's metrics as GLUE takes it.
        score_before: Score of the original model.
        logit_difference: Largest difference of the logits, over all rows and classes.
        changed: Number of rows with another class; None where there are no classes, and 0 in files of earlier versions.
        megabytes: Size of the exported folder in MB.
        megabytes_before: Size of the model folder in MB.
        latency: Latency of the exported model by ``ROWSxLENGTH``.
        latency_before: Latency of the original model by ``ROWSxLENGTH``.
        alone: With 8 bits, how much a row's result depends on its batch; None without, and in files of earlier
            versions.
        teacher: With 8 bits, the exported dense teacher of the model's run, if there is one.
        source: Digest of the model that was exported; None in files of earlier versions.
    """

    format: str
    int8: bool
    task: str
    rows: int
    score: float
    score_before: float
    logit_difference: float
    changed: int | None
    megabytes: float
    megabytes_before: float
    latency: dict[str, Latency]
    latency_before: dict[str, Latency]
    alone: Alone | None = None
    teacher: TeacherForm | None = None
    source: str | None = None

    @property
    def count(self) -> str:
        """How many rows have another class; empty where there are no classes."""
        return "" if self.changed is None else f"{self.changed} of {self.rows}"


def write_check(folder: Path, check: Check) -> None:
    """Write ``check.json``.

    Args:
        folder: Folder of the export.
        check: Its content.
    """
    write_json(folder / EXPORT_CHECK, asdict(check))


def read_check(folder: Path) -> Check:
    """Read ``check.json``.

    Args:
        folder: Folder of an export.

    Returns:
        Its content.

    Raises:
        StarkError: If it is not what `stark export` writes.
    """
    file = folder / EXPORT_CHECK
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        alone, teacher = stored.get("alone"), stored.get("teacher")
        nested = {
            "latency": _latency(stored["latency"]),
            "latency_before": _latency(stored["latency_before"]),
            "alone": alone and Alone(**alone),
            "teacher": teacher and TeacherForm(**{**teacher, "latency": _latency(teacher["latency"])}),
        }
        return Check(**{**stored, **nested})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StarkError(f"{file} is not what stark export writes: {error}") from error


def alone_text(alone: Alone) -> str:
    """Describe how much a row's result depends on its batch.

    Args:
        alone: Result of the measurement.

    Returns:
        The text, as in the example.

    Examples:
        >>> alone_text(Alone(256, 8, 0.25))
        '8 of 256 rows get another class alone than in their batch (logits differ by up to 0.25)'
    """
    if alone.changed is None:
        return f"scores of {alone.rows} rows differ by up to {alone.logit_difference:.2g} alone and in their batch"
    rows = f"{alone.count} rows get another class alone than in their batch"
    return f"{rows} (logits differ by up to {alone.logit_difference:.2g})"


def change_text(check: Check) -> str:
    """Describe how much the exported model's answers differ from the original's.

    Args:
        check: Result of the measurement.

    Returns:
        The text, without a period.
    """
    if check.changed is None:
        return f"scores of {check.rows} rows of dev differ by up to {check.logit_difference:.2g}"
    return f"{check.count} rows of dev get another class (logits differ by up to {check.logit_difference:.2g})"


def _latency(stored: dict[str, Any]) -> dict[str, Latency]:
    return {shape: Latency(**found) for shape, found in stored.items()}
