"""The page about several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.report.measuring import MeasuredModel, told_shape
from pipeline.report.page import Page, Table
from pipeline.report.pictures import Picture, latency_picture, score_picture
from pipeline.report.reading import RunRecord
from pipeline.report.run_page import chosen_of, measured_of
from pipeline.report.wording import environment, score_text, shape_text
from pipeline.results.comparison import DENSE
from pipeline.results.latency import spread_text
from pipeline.results.summary import Summary

__all__ = ["page_of_runs"]


def page_of_runs(records: Sequence[RunRecord]) -> Page:
    """Make the page that compares runs.

    Args:
        records: Two or more runs. Unfinished runs are only named.

    Returns:
        The page. Scores of different tasks are in separate pictures.
    """
    measured = {_name(record): measured_of(record) for record in records}
    finished = [record for record in records if measured[_name(record)]]
    pictures: list[Picture] = []
    for task in dict.fromkeys(record.task for record in finished):
        models = [
            replace(model, name=f"{_name(record)}{suffix}")
            for record in finished
            if record.task == task
            for model, suffix in _shown(record, measured[_name(record)])
        ]
        drawn = [score_picture(models)]
        if len({model.tokens for model in models}) == 1:
            shapes = {device: told_shape(device, models[0].tokens) for device in models[0].latency}
            drawn += [latency_picture(models, device, shape) for device, shape in shapes.items()]
        pictures += [Picture(f"{task}: {picture.title}", picture.svg) for picture in drawn]
    tables = [_runs(records, measured)]
    if finished:
        tables.append(_settings(finished))
    tables.append(Table("Environment of this page", ["", ""], list(environment().items())))
    unfinished = [_name(record) for record in records if not measured[_name(record)]]
    headline = [f"{len(records)} runs, each with its teacher and the student that it chose."]
    if unfinished:
        headline.append(f"Not finished: {', '.join(unfinished)}.")
    return Page(f"{len(records)} runs", headline, pictures=pictures, tables=tables)


def _name(record: RunRecord) -> str:
    return str(record.folder)


def _shown(record: RunRecord, measured: Sequence[MeasuredModel]) -> list[tuple[MeasuredModel, str]]:
    """The teacher and the chosen student."""
    chosen = chosen_of(record, measured)
    return [(measured[0], ", teacher"), *([] if chosen is None else [(chosen, "")])]


def _runs(records: Sequence[RunRecord], measured: Mapping[str, Sequence[MeasuredModel]]) -> Table:
    rows = []
    for record in records:
        found = measured[_name(record)]
        seconds = f"{sum(stage.seconds for stage in record.stages.values()):.0f}"
        chosen = chosen_of(record, found)
        if record.summary is None or chosen is None:
            rows.append([_name(record), record.task, *[""] * 6, seconds])
            continue
        teacher = found[0]
        latency, teachers = (model.latency["cpu"][told_shape("cpu", teacher.tokens)] for model in (chosen, teacher))
        rows.append(
            [
                _name(record),
                record.task,
                score_text(teacher),
                score_text(chosen),
                _gap(record.summary),
                f"{chosen.encoder_parameters / 1e6:.2f} M",
                f"{chosen.megabytes:.1f} MB",
                f"{spread_text(latency)} ({teachers.median / latency.median:.1f} x)",
                seconds,
            ]
        )
    header = ["", "task", "teacher", "chosen student", "sparse minus dense", "in the encoder", "file"]
    note = (
        "Scores on dev in hundredths with a 95 % interval; sparse minus dense teacher's student in points, "
        "with an interval where there are several seeds. Latency: "
        "milliseconds for one row on the CPU, of 128 tokens or as many as the encoder has positions for, and how many "
        "times faster than its teacher; each run was measured by itself."
    )
    return Table("Runs", [*header, "latency", "seconds"], rows, note)


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
