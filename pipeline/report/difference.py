"""Differences of scores on dev: a run's student minus its teacher, and models of a run minus those of another run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.deploy.model_data import config_of
from pipeline.execution.outputs import read_output
from pipeline.report.reading import RunRecord
from pipeline.results.comparison import counterparts, points_over
from pipeline.results.statistics import Estimate, Metric
from pipeline.results.summary import Summary
from pipeline.run_folder import RunFolder
from stark.problems.table import problem_of

__all__ = ["DevAnswers", "Difference", "difference", "read_answers", "why_not_comparable"]

_ROWS, _SEEDS = "other rows", "other rows and seeds"


@dataclass(frozen=True)
class DevAnswers:
    """The predictions of a run's teacher and of its student for the rows of dev.

    Args:
        task: Name of the task.
        rows: Digest of the content of dev.
        metrics: Names of the metrics whose mean is the score.
        labels: ``(rows,)``.
        metric: The score of predictions.
        teacher: Predictions of the dense teacher, ``(1, rows)``.
        student: Predictions of the chosen student and of its counterparts of the other seeds, ``(seeds, rows)``.
        seeds: The student's seeds.
    """

    task: str
    rows: str | None
    metrics: list[str]
    labels: Tensor
    metric: Metric
    teacher: Tensor
    student: Tensor
    seeds: list[int]


@dataclass(frozen=True)
class Difference:
    """A difference of scores.

    Args:
        points: The difference in points (hundredths), with a 95 % interval.
        holds_for: For what else than the measured rows and seeds the interval holds.
    """

    points: Estimate
    holds_for: str


def read_answers(record: RunRecord, summary: Summary) -> DevAnswers:
    """Read the predictions of a finished run.

    Args:
        record: The run.
        summary: Its results.

    Returns:
        The predictions.

    Raises:
        DamagedError: If the file of the logits is missing or was changed.
    """
    run = RunFolder(record.folder)
    logits = read_output(record.folder, run.dev_logits.name)
    students = counterparts(summary.best_by_method, summary.best.folder)
    problems = {
        folder: problem_of(config_of(run.at(folder).path)) for folder in (*students.values(), run.dense_teacher.name)
    }
    said = {folder: problem.for_metrics(logits[folder]) for folder, problem in problems.items()}
    return DevAnswers(
        task=record.task,
        rows=record.rows_of_dev,
        metrics=summary.metrics_of_score,
        labels=logits["labels"],
        metric=problems[summary.best.folder].score_function(summary.metrics_of_score),
        teacher=said[run.dense_teacher.name][None],
        student=torch.stack([said[folder] for folder in students.values()]),
        seeds=list(students),
    )


def why_not_comparable(first: DevAnswers, second: DevAnswers) -> str:
    """Why scores of two runs cannot be subtracted from each other.

    Args:
        first: Predictions of a run.
        second: Predictions of the other one.

    Returns:
        A phrase; empty if they are about the same labels of the same rows, by the same metrics.
    """
    if first.task != second.task:
        return "another task"
    if None in (first.rows, second.rows):
        return "rows of dev are not recorded"
    if first.rows != second.rows or not torch.equal(first.labels, second.labels):
        return "other rows of dev"
    return "" if first.metrics == second.metrics else "another score"


def difference(answers: DevAnswers, first: Tensor, second: Tensor, *, same_seeds: bool) -> Difference:
    """One model's score minus another's, on the same rows.

    Args:
        answers: The labels and the score.
        first: Predictions of the model that is subtracted, ``(seeds, rows)``.
        second: Predictions of the other one, ``(seeds, rows)``, whose number of seeds may differ.
        same_seeds: Whether both have the same seeds in the same order. A model that all seeds share, such as the
            teacher, has every seed.

    Returns:
        The difference as `points_over` computes it.
    """
    points = points_over(first, second, answers.labels, answers.metric, same_seeds=same_seeds)
    return Difference(points, _SEEDS if same_seeds and max(len(first), len(second)) > 1 else _ROWS)
