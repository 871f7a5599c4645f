"""The first sentences of a page: what a student costs and what it gives, compared with its teacher."""

from __future__ import annotations

from pipeline.deploy.export.check import Check, change_text
from pipeline.report.difference import DevAnswers, Difference
from pipeline.report.measuring import MeasuredModel, told_shape
from pipeline.report.reading import RunRecord
from pipeline.results.summary import Summary
from stark.forward.latency import device_text

__all__ = [
    "answer",
    "export_answer",
    "interval_text",
    "points_text",
    "score_explained",
    "seeds_text",
    "times_as_fast",
]


def answer(teacher: MeasuredModel, student: MeasuredModel, found: Difference, answers: DevAnswers) -> str:
    """How many times faster, how much smaller, and how many points less.

    Args:
        teacher: The dense teacher.
        student: The chosen student.
        found: The student's score minus the teacher's.
        answers: Their predictions for dev.

    Returns:
        Two sentences.
    """
    device = next(iter(teacher.latency))
    rows, length = told_shape(device, teacher.tokens)
    batch = f"{rows} {'row' if rows == 1 else 'rows'} of {length} tokens on the {device_text(device)}"
    return (
        f"The student is {times_as_fast(teacher, student):.1f} times as fast as its teacher ({batch}), its file has "
        f"{student.megabytes:.1f} MB instead of {teacher.megabytes:.1f} MB, and its score on dev is "
        f"{points_text(found)}: {100 * student.score.value:.1f}{seeds_text(answers)} instead of "
        f"{100 * teacher.score.value:.1f}. {interval_text(found)}"
    )


def times_as_fast(teacher: MeasuredModel, student: MeasuredModel) -> float:
    """How many times as fast as its teacher a student is, on the first device, for the shape that is reported first.

    Args:
        teacher: The dense teacher.
        student: A student that was measured together with it.

    Returns:
        The ratio of the medians.
    """
    device = next(iter(teacher.latency))
    shape = told_shape(device, teacher.tokens)
    return teacher.latency[device][shape].median / student.latency[device][shape].median


def points_text(found: Difference) -> str:
    """The size and direction of a difference.

    Args:
        found: The difference.

    Returns:
        Such as ``1.2 points lower``.
    """
    return f"{abs(found.points.value):.1f} points {'higher' if found.points.value > 0 else 'lower'}"


def seeds_text(answers: DevAnswers) -> str:
    """Of how many seeds a student's score is the mean.

    Args:
        answers: The student's predictions.

    Returns:
        A phrase in brackets; empty for one seed.
    """
    count = len(answers.seeds)
    return f" (mean of {count} seeds)" if count > 1 else ""


def interval_text(found: Difference) -> str:
    """The interval of a difference.

    Args:
        found: The difference.

    Returns:
        A sentence.
    """
    low, high = found.points.low, found.points.high
    return f"The 95 % interval of this difference for {found.holds_for} is {low:+.1f} to {high:+.1f} points."


def score_explained(record: RunRecord, summary: Summary, rows: int) -> str:
    """What the score is.

    Args:
        record: A finished run.
        summary: Its results.
        rows: Number of rows of dev.

    Returns:
        Sentences.
    """
    *others, last = summary.metrics_of_score
    what = f"the mean of {', '.join(others)} and {last}" if others else last
    held = "" if summary.selection_rows is None else f"{summary.selection_rows:,} "
    chosen = (
        "The student was chosen by the score on the same rows, so that its score is too good"
        if record.settings["data"]["selection"] == "validation"
        else f"Dev was used for no choice: the student was chosen by the score on the selection part, {held}rows held "
        "out of the training rows"
    )
    return f"The score is {what}, in hundredths, on the {rows:,} rows of dev. {chosen}."


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
        f"As {form} ({name}) it has {check.megabytes:.1f} MB{faster} and scores {100 * check.score:.1f}; "
        f"{change_text(check)}."
    )
