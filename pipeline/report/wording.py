"""Texts that reports and cards share: scores, shapes and the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from pipeline.report.measuring import MeasuredModel
from pipeline.results.measurements import processor

__all__ = ["environment", "ranked_by", "score_text", "shape_text"]

_PACKAGES = ("torch", "transformers", "pytorch-lightning")


def environment() -> dict[str, str]:
    """The machine and the versions that a report was made with."""
    found = {"processor": f"{processor()}, {os.cpu_count()} cores", "Python": platform.python_version()}
    found.update({name: version(name) for name in _PACKAGES})
    if torch.cuda.is_available():
        found["GPU"] = torch.cuda.get_device_name()
    return {**found, "load": ", ".join(f"{load:.1f}" for load in os.getloadavg())}


def shape_text(student: Mapping[str, Any]) -> str:
    """The requested shape of a student.

    Args:
        student: The settings ``student``.
    """
    if student["layers"] is not None:
        return f"{student['layers']} layers kept"
    budget = student.get("budget")
    counted = "of heads and neurons removed" if budget is None else f"removed, as {_class_of(budget)} counts"
    return f"{student['sparsity']:.0%} {counted}{ranked_by(student)}"


def ranked_by(part: Mapping[str, Any]) -> str:
    """By which score units are ranked, where a run names one.

    Args:
        part: The settings of a student or of its teachers.

    Examples:
        >>> ranked_by({"sparsity": 0.7, "score": {"class_path": "stark.Random", "init_args": {"seed": 3}}})
        ', ranked by stark.Random'
    """
    described = part.get("score")  # runs of earlier versions have none
    return "" if described is None else f", ranked by {_class_of(described)}"


def _class_of(described: str | Mapping[str, Any]) -> str:
    return described if isinstance(described, str) else str(described["class_path"])


def score_text(model: MeasuredModel) -> str:
    """A model's score on dev in hundredths, with its interval.

    Args:
        model: The model.
    """
    score = model.score
    return f"{100 * score.value:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]"
