"""What the trials of a sweep are compared by, and what may be limited."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path

from pipeline.deploy.classifier import answer_of
from pipeline.deploy.export.export import megabytes_of
from pipeline.report.measuring import TOKENS
from pipeline.results.summary import Summary
from pipeline.run_folder import RunFolder
from stark.forward.latency import measure_latency
from stark.model_folders.input_checks import most_tokens
from stark.model_folders.model_folder import load_classifier

__all__ = ["COSTS", "LATENCY", "OBJECTIVES", "measure_student"]

LATENCY = "latency"
COSTS = ("parameters", "encoder_parameters", "megabytes", LATENCY)
"""What a student costs: numbers of parameters, MB of its folder, and milliseconds for one row of `TOKENS` tokens."""
OBJECTIVES = ("score", *COSTS)
"""Names of all objectives. The score is that on the selection part, because dev decides nothing."""


def measure_student(run: Path, names: Iterable[str]) -> dict[str, float]:
    """Measure the chosen student of a finished run.

    Args:
        run: The run's folder.
        names: Names of objectives. Latency is measured only if it is among them.

    Returns:
        Their values by name.

    Raises:
        DamagedError: If the run has no intact summary.
    """
    summary, student = Summary.read(run), RunFolder(run).student.path
    found = {
        "score": _score(summary),
        "parameters": float(summary.best.parameters),
        "encoder_parameters": float(summary.best.encoder_parameters),
        "megabytes": megabytes_of(student),
    }
    if LATENCY in (wanted := set(names)):
        model = load_classifier(student)
        length = min(TOKENS, most_tokens(model.config))
        found[LATENCY] = measure_latency({"student": answer_of(model)}, 1, length)["student"].median
    return {name: value for name, value in found.items() if name in wanted}


def _score(summary: Summary) -> float:
    """Score of the best student on the selection part; with several seeds the mean over its repetitions.

    The best of the seeds alone would be a reward for chance.
    """
    best = summary.best
    same = [
        model.selection_score
        for model in summary.models
        if (model.name, model.teacher_sparsity, model.lam, model.baseline)
        == (best.name, best.teacher_sparsity, best.lam, best.baseline)
    ]
    return statistics.fmean(same)
