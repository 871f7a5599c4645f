"""The first sentences of a run's page: what the student costs and what it gives, compared with its teacher."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from pipeline.deploy.export.check import Check
from pipeline.report.measuring import MeasuredModel, told_shape
from pipeline.results.latency import device_text
from pipeline.results.statistics import Cell, Estimate, Metric, estimate_difference

__all__ = ["answer", "export_answer", "paired_difference"]


def paired_difference(
    teacher: MeasuredModel,
    student: MeasuredModel,
    predictions: Mapping[str, Tensor],
    labels: Tensor,
    metric: Metric,
) -> Estimate:
    """The student's score minus the teacher's on the same rows of dev, in points.

    Args:
        teacher: The dense teacher.
        student: The chosen student.
        predictions: Predictions for the rows of dev, by model folder.
        labels: Labels of these rows.
        metric: The task's score.

    Returns:
        The difference, with an interval for other rows: it is about these two models, not about other seeds.
    """
    first, second = (predictions[model.folder][None] for model in (teacher, student))
    pair = Cell("", "", labels, first, second, metric)
    found = estimate_difference([pair])
    return Estimate(100 * found.value, 100 * found.low, 100 * found.high)


def answer(teacher: MeasuredModel, student: MeasuredModel, difference: Estimate) -> str:
    """How many times faster, how much smaller, and how many points less.

    Args:
        teacher: The dense teacher.
        student: The chosen student.
        difference: The student's score minus the teacher's, in points.

    Returns:
        A sentence.
    """
    device = next(iter(teacher.latency))
    rows, length = shape = told_shape(device, teacher.tokens)
    times = teacher.latency[device][shape].median / student.latency[device][shape].median
    batch = f"{rows} {'row' if rows == 1 else 'rows'} of {length} tokens on the {device_text(device)}"
    more = "more" if difference.value > 0 else "less"
    return (
        f"The student is {times:.1f} times as fast as its teacher ({batch}), its file has "
        f"{student.megabytes:.1f} MB instead of {teacher.megabytes:.1f} MB, and it scores {abs(difference.value):.1f} "
        f"points {more} on dev: {100 * student.score.value:.1f} instead of {100 * teacher.score.value:.1f}. The 95 % "
        f"interval of this difference for other rows is {difference.low:+.1f} to {difference.high:+.1f} points."
    )


def export_answer(name: str, check: Check) -> str:
    """The same for an exported form of the student.

    Args:
        name: Name of the exported folder.
        check: What `stark export` measured.

    Returns:
        A sentence.
    """
    form = f"{check.format} with weights of 8 bits" if check.int8 else check.format
    shapes = [shape for shape in check.latency if shape.startswith("1x") and shape in check.latency_before]
    faster = ""
    if shapes:
        shape = max(shapes, key=lambda name: int(name.removeprefix("1x")))
        times = check.latency_before[shape].median / check.latency[shape].median
        faster = f", is {times:.1f} times as fast as the student in PyTorch (1 row of {shape[2:]} tokens)"
    return (
        f"As {form} ({name}) it has {check.megabytes:.1f} MB{faster} and scores {100 * check.score:.1f}, "
        f"{check.changed} of {check.rows} rows with another class than before."
    )
