"""The page about several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.report.answer import interval_text, points_text, score_explained, seeds_text, times_as_fast
from pipeline.report.difference import DevAnswers, Difference, difference, read_answers, why_not_comparable
from pipeline.report.marks import Mark, marks_of
from pipeline.report.measuring import MeasuredModel, told_shape
from pipeline.report.page import Page, Table
from pipeline.report.pictures import Picture, latency_picture, score_picture
from pipeline.report.reading import RunRecord
from pipeline.report.run_page import chosen_of, measured_of
from pipeline.report.wording import environment, score_text, shape_text
from pipeline.results.comparison import DENSE
from pipeline.results.summary import Summary
from stark.forward.latency import spread_text

__all__ = ["page_of_runs"]


@dataclass(frozen=True)
class _Run:
    """A finished run.

    Args:
        record: The run.
        summary: Its results.
        teacher: Its dense teacher, by a name with that of the run.
        student: The student that it chose, by such a name.
        answers: Their predictions for dev.
    """

    record: RunRecord
    summary: Summary
    teacher: MeasuredModel
    student: MeasuredModel
    answers: DevAnswers

    @property
    def name(self) -> str:
        return _name(self.record)

    @property
    def models(self) -> list[MeasuredModel]:
        return [self.teacher, self.student]


def page_of_runs(records: Sequence[RunRecord]) -> Page:
    """Make the page that compares runs.

    Args:
        records: Two or more runs. Unfinished runs are only named. Students and teachers are compared with those of the
            first finished one.

    Returns:
        The page. Scores of different tasks are in separate pictures.
    """
    runs = [run for record in records if (run := _finished(record)) is not None]
    marks = _marks(runs)
    unfinished = [_name(record) for record in records if _name(record) not in [run.name for run in runs]]
    tables = [_models(runs, marks)] if runs else []
    tables.append(_runs(records))
    if runs:
        tables.append(_settings([run.record for run in runs]))
    times = {run.name: run.teacher.measured for run in runs}
    dated = [(f"{name} was measured", time) for name, time in times.items()]
    tables.append(Table("Environment of this page", ["", ""], [*environment().items(), *dated]))
    headline = _headline(runs)
    if unfinished:
        headline.append(f"Not finished: {', '.join(unfinished)}.")
    if len(set(times.values())) > 1:
        headline.append(
            "The runs were measured at different times on this machine, which the table of the environment names: "
            "compare how many times as fast as its teacher a student is, rather than milliseconds."
        )
    return Page(f"{len(records)} runs", headline, pictures=_pictures(runs, marks), tables=tables)


def _marks(runs: Sequence[_Run]) -> dict[str, Mark]:
    """A mark for each model. Runs with the same teacher have one mark for it."""
    models: dict[str, str] = {}
    for run in runs:
        models[run.teacher.name] = run.record.teacher or run.teacher.name
        models[run.student.name] = run.student.name
    marks = marks_of(models.values())
    return {name: marks[model] for name, model in models.items()}


def _finished(record: RunRecord) -> _Run | None:
    measured = measured_of(record)
    chosen = chosen_of(record, measured)
    if record.summary is None or chosen is None:
        return None
    teacher = replace(measured[0], name=f"{_name(record)}, teacher")
    student = replace(chosen, name=f"{_name(record)}, student")
    return _Run(record, record.summary, teacher, student, read_answers(record, record.summary))


def _name(record: RunRecord) -> str:
    return str(record.folder)


def _headline(runs: Sequence[_Run]) -> list[str]:
    """What each student gives compared with that of the first run, and what the score is."""
    if not runs:
        return []
    first, *others = runs
    lines = [_answer(run, first) for run in others] or [f"Only {first.name} is finished."]
    for task in dict.fromkeys(run.record.task for run in runs):
        own = [run for run in runs if run.record.task == task]
        texts = [score_explained(run.record, run.summary, len(run.answers.labels)) for run in own]
        names = [task] if len(set(texts)) == 1 else [run.name for run in own]
        lines += [f"{name}: {text}" for name, text in zip(names, texts, strict=False)]
    return lines


def _answer(run: _Run, first: _Run) -> str:
    """How many points more, how many times as fast, and how much smaller than the first run's student."""
    times = (
        f"{times_as_fast(run.teacher, run.student):.1f} instead of {times_as_fast(first.teacher, first.student):.1f}"
    )
    costs = (
        f"It is {times} times as fast as its teacher, and its file has {run.student.megabytes:.1f} MB instead of "
        f"{first.student.megabytes:.1f} MB."
    )
    scores = [f"{100 * one.student.score.value:.1f}{seeds_text(one.answers)}" for one in (run, first)]
    found = _of_students(run, first)
    if isinstance(found, str):
        return (
            f"The student of {run.name} scores {scores[0]} on dev. This is not comparable with {first.name} "
            f"({scores[1]}): {found}. {costs}"
        )
    return (
        f"The student of {run.name} has a score on dev that is {points_text(found)} than that of {first.name}: "
        f"{' instead of '.join(scores)}. {interval_text(found)} {costs}"
    )


def _of_students(run: _Run, first: _Run) -> Difference | str:
    """The student's score minus that of the first run's student, or why there is no difference."""
    same_seeds = run.answers.seeds == first.answers.seeds
    return why_not_comparable(first.answers, run.answers) or difference(
        run.answers, first.answers.student, run.answers.student, same_seeds=same_seeds
    )


def _of_teachers(run: _Run, first: _Run) -> Difference | str:
    """The same for the teachers."""
    if reason := why_not_comparable(first.answers, run.answers):
        return reason
    if first.record.teacher == run.record.teacher:
        return "the same teacher"
    return difference(run.answers, first.answers.teacher, run.answers.teacher, same_seeds=False)


def _pictures(runs: Sequence[_Run], marks: Mapping[str, Mark]) -> list[Picture]:
    pictures: list[Picture] = []
    tasks = dict.fromkeys(run.record.task for run in runs)
    for task in tasks:
        models = [model for run in runs if run.record.task == task for model in run.models]
        drawn = [score_picture(models, marks)]
        if len({model.tokens for model in models}) == 1:
            shapes = {device: told_shape(device, models[0].tokens) for device in models[0].latency}
            drawn += [latency_picture(models, marks, device, shape) for device, shape in shapes.items()]
        pictures += [Picture(f"{task}: {picture.title}", picture.svg) for picture in drawn]
    return pictures


def _models(runs: Sequence[_Run], marks: Mapping[str, Mark]) -> Table:
    """The models of the finished runs, each compared with its counterpart of the first run."""
    first = runs[0]
    rows = []
    for run in runs:
        for model, compared in ((run.teacher, _of_teachers), (run.student, _of_students)):
            found = "the first run" if run is first else compared(run, first)
            latency = model.latency["cpu"][told_shape("cpu", model.tokens)]
            times = "" if model is run.teacher else f" ({times_as_fast(run.teacher, model):.1f} x)"
            rows.append(
                [
                    model.name,
                    score_text(model),
                    *_difference_cells(found),
                    f"{model.encoder_parameters / 1e6:.2f} M",
                    f"{model.megabytes:.1f} MB",
                    f"{spread_text(latency)}{times}",
                    run.record.task,
                ]
            )
    header = ["", "score on dev", "minus the first run's", "interval for", "in the encoder", "file", "latency", "task"]
    note = (
        "Student: the one that the run chose. Score: hundredths with a 95 % interval. Minus the first "
        f"run's: points, compared with the student or the teacher of {first.name} on the same rows of dev, with a "
        "paired 95 % interval; it is for other seeds as well where both runs have the same seeds, several of them, and "
        "never for another finetuned teacher. Latency: milliseconds for one row on the CPU, of 128 tokens or as many "
        "as the encoder has positions for, and how many times as fast as its teacher; each run was measured by itself."
    )
    names = [row[0] for row in rows]
    return Table("Models", header, rows, note, [marks[name] for name in names])


def _difference_cells(found: Difference | str) -> list[str]:
    if isinstance(found, str):
        return [found, ""]
    points = found.points
    return [f"{points.value:+.2f} [{points.low:+.2f}, {points.high:+.2f}]", found.holds_for]


def _runs(records: Sequence[RunRecord]) -> Table:
    rows = [
        [
            _name(record),
            "" if record.summary is None else _gap(record.summary),
            f"{sum(stage.seconds for stage in record.stages.values()):.0f}",
        ]
        for record in records
    ]
    note = (
        "Sparse minus dense: the score of the sparse teacher's student minus that of the dense teacher's student, in "
        "points on dev, with an interval where there are several seeds. Seconds: of all stages."
    )
    return Table("Runs", ["", "sparse minus dense", "seconds"], rows, note)


def _gap(summary: Summary) -> str:
    for entry in summary.comparisons:
        if entry.control == DENSE:
            interval = f" [{entry.points.low:+.2f}, {entry.points.high:+.2f}]" if summary.has_seeds else ""
            return f"{entry.points.value:+.2f}{interval}"
    return ""


def _settings(records: Sequence[RunRecord]) -> Table:
    """The settings that differ between the runs, apart from their names."""
    flat = {_name(record): dict(_flat(record.settings)) for record in records}
    known = dict.fromkeys(key for values in flat.values() for key in values if key not in ("name", "root"))
    rows = []
    for key in known:
        values = [str(settings.get(key, "")) for settings in flat.values()]
        if len(set(values)) > 1:
            rows.append([key, *values])
    shapes = ["student", *(shape_text(record.settings["student"]) for record in records)]
    return Table("What differs in their settings", ["", *flat], [shapes, *rows])


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        found += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return found
