"""The page of a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.deploy.export.check import Check, TeacherForm, read_check
from pipeline.deploy.export.opening import check_exported
from pipeline.deploy.model_data import config_of
from pipeline.execution.belongings import EXPORT_CHECK
from pipeline.execution.outputs import read_output
from pipeline.report.answer import answer, export_answer, score_explained
from pipeline.report.difference import difference, read_answers
from pipeline.report.marks import (
    DENSE_TEACHER,
    OTHER,
    SPARSE_TEACHER,
    STUDENT_OF_DENSE,
    STUDENT_OF_SPARSE,
    UNDISTILLED,
    Mark,
    run_marks,
)
from pipeline.report.measuring import Kept, MeasuredModel, kept_of, measure_models, told_shape
from pipeline.report.page import Number, Page, Table
from pipeline.report.pictures import (
    Picture,
    curve_pictures,
    kept_picture,
    latency_picture,
    score_picture,
    seconds_picture,
    sparsity_picture,
    unit_pictures,
)
from pipeline.report.reading import RunRecord
from pipeline.report.usable import UsableModels, usable_models, verdict_lines
from pipeline.report.use_picture import use_picture
from pipeline.report.wording import environment, ranked_by, score_text, shape_text
from pipeline.results.comparison import DENSE, SPARSE
from pipeline.results.summary import ClassScore, Summary
from pipeline.results.tables import certainty, choice_text
from pipeline.results.verdict import PRICE
from pipeline.run_folder import RunFolder
from stark.forward.latency import device_text, spread_text, threads_text
from stark.problems.table import problem_of

__all__ = ["chosen_of", "measured_of", "page_of_run"]

_NAMES = {DENSE: STUDENT_OF_DENSE, SPARSE: STUDENT_OF_SPARSE}


def measured_of(record: RunRecord) -> list[MeasuredModel]:
    """Measure the dense teacher, its student, and the student of the sparse teacher.

    Args:
        record: A finished run.

    Returns:
        The models, with the chosen student last; empty if the run is not finished.
    """
    if record.summary is None:
        return []
    run = RunFolder(record.folder)
    tensors = read_output(record.folder, run.dev_logits.name)
    best, choices = record.summary.best.folder, record.summary.best_by_method
    models = {DENSE_TEACHER: [run.dense_teacher.name]}
    for method, name in _NAMES.items():
        folders = [choice.students[method] for choice in choices if method in choice.students]
        if folders:
            # The chosen student first, because latency and size are measured on the first one.
            models[name] = sorted(folders, key=lambda folder: folder != best)
    models = dict(sorted(models.items(), key=lambda model: best in model[1]))
    problem = problem_of(config_of(record.folder / best))
    return measure_models(record.folder, models, tensors, tensors["labels"], problem, record.summary.metrics_of_score)


def page_of_run(record: RunRecord, price: float | None = None) -> Page:
    """Make the page of a run.

    Args:
        record: The run. Parts that an unfinished run lacks are left out.
        price: Dollars per core and hour; None for the usual price.

    Returns:
        The page.
    """
    measured = measured_of(record)
    usable = usable_models(record, measure=True)
    name = str(record.settings["name"])
    root = record.folder.resolve().parents[len(Path(name).parts) - 1]
    # Absolute, so that it works from any folder, and with the root, because the run may have been moved.
    command = shlex.join(
        ["stark", "run", "--config", str(RunFolder(record.folder.resolve()).config), "--root", str(root)]
    )
    return Page(
        title=name if name == record.task else f"{name}: {record.task}",
        headline=_headline(record, measured),
        numbers=_numbers(measured),
        pictures=[*_use_pictures(usable), *_pictures(record, measured)],
        tables=[*_use_tables(usable), *_tables(record, measured)],
        command=command,
        settings=record.config,
        verdict=verdict_lines(usable, PRICE if price is None else price),
    )


def chosen_of(record: RunRecord, measured: Sequence[MeasuredModel]) -> MeasuredModel | None:
    """The student that the run chose.

    Args:
        record: The run.
        measured: The models that `measured_of` returned.

    Returns:
        One of the models; None if the run is not finished.
    """
    if record.summary is None:
        return None
    return next((model for model in measured if model.folder == record.summary.best.folder), None)


def _headline(record: RunRecord, measured: Sequence[MeasuredModel]) -> list[str]:
    settings, summary = record.settings, record.summary
    teacher = settings["teacher"]
    seeds = _listed(settings["seeds"] or [settings["seed"]])
    asked = (
        f"Asked for: a student of {settings['model_name_or_path']} with {shape_text(settings['student'])}; "
        f"{_sparse_teachers(teacher, settings['search']['mode'])}; seed {seeds}."
    )
    if summary is None:
        done = sum(stage.finished for stage in record.stages.values())
        return [asked, f"The run is not finished: {done} of the {len(record.stages)} stages that were begun are."]
    best = summary.best
    made = (
        "the dense teacher"
        if not best.teacher_sparsity
        else f"a teacher of sparsity {best.teacher_sparsity:g}{'' if best.lam is None else f' at lam {best.lam:g}'}"
    )
    chosen = chosen_of(record, measured)
    lines = [] if chosen is None else _answer(record, summary, measured[0], chosen)
    exported = f"{RunFolder(record.folder).student.name}-"
    lines += [export_answer(name, check) for name, check in _exports(record.folder) if name.startswith(exported)]
    lines += [asked, f"Chosen on the selection part: the student of {made}{_is_worth(chosen)}."]
    for entry in summary.comparisons:
        if entry.control == DENSE:
            points = f"{entry.points.value:+.2f} points on dev, {certainty(summary, entry)}"
            lines.append(f"Sparse teacher minus dense teacher: {points}.")
    lines += [f"Warning: {line}." for line in summary.alarms or ()]
    return lines


def _answer(record: RunRecord, summary: Summary, teacher: MeasuredModel, chosen: MeasuredModel) -> list[str]:
    answers = read_answers(record, summary)
    found = difference(answers, answers.teacher, answers.student, same_seeds=True)
    return [
        answer(teacher, chosen, found, answers),
        score_explained(record, summary, len(answers.labels)),
    ]


def _is_worth(model: MeasuredModel | None) -> str:
    return "" if model is None else f", {score_text(model)} on dev"


def _numbers(measured: Sequence[MeasuredModel]) -> list[Number]:
    if len(measured) < 2:
        return []
    teacher, student = measured[0], measured[-1]
    faster = []
    for device in teacher.latency:
        rows, length = shape = told_shape(device, teacher.tokens)
        times = teacher.latency[device][shape].median / student.latency[device][shape].median
        batch = f"{rows} {'row' if rows == 1 else 'rows'} of {length} tokens"
        faster.append(Number(f"{times:.1f} x", f"as fast as the teacher, {batch} on the {device_text(device)}"))
    return [
        Number(f"{100 * student.score.value:.1f}", f"score on dev, the teacher's is {100 * teacher.score.value:.1f}"),
        *faster,
        Number(f"{student.encoder_parameters / teacher.encoder_parameters:.0%}", "of the encoder's parameters"),
        Number(f"{student.megabytes / teacher.megabytes:.0%}", "of the file's size, embeddings included"),
    ]


def _use_pictures(usable: UsableModels) -> list[Picture]:
    shown = [model for model in usable.models if model.use is not None and model.contender.kind != "constant"]
    return [use_picture(shown, run_marks())] if len(shown) > 1 else []


def _use_tables(usable: UsableModels) -> list[Table]:
    marks, rows = run_marks(), []
    for model in usable.models:
        use, cells = model.use, [""] * 6
        if use is not None:
            cells = [f"{value:.{2 if value < 10 else 1}f}" for value in (use.p50, use.p95, use.p99)]
            cells += [f"{use.rows_per_second:,.0f}", f"{use.cold_start:.1f} s", f"{use.megabytes:.2f} MB"]
        score = model.score
        rows.append([model.name, f"{100 * score.value:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]", *cells])
    if not rows:
        return []
    note = (
        f"Score: hundredths, with a 95 % interval. From texts to labels on the CPU, {threads_text()}, for rows of dev "
        "in turns. Milliseconds of a single row: what half, 95 % and 99 % of the rows do not exceed. Rows per second: "
        "batches of 32 rows of similar length. First answer: from the start of a process, libraries included. Size: "
        "all files that one has to ship."
        + (f" Measured on this machine, {usable.measured}." if usable.measured else "")
    )
    header = ["", "score on dev", "ms, p50", "p95", "p99", "rows per second", "first answer", "size"]
    return [Table("What could be used", header, rows, note, [marks[model.name] for model in usable.models])]


def _pictures(record: RunRecord, measured: Sequence[MeasuredModel]) -> list[Picture]:
    marks = run_marks()
    found: list[Picture | None] = []
    if measured:
        found.append(score_picture(measured, marks))
        found += [
            latency_picture(measured, marks, device, told_shape(device, measured[0].tokens))
            for device in measured[0].latency
        ]
    if record.summary is not None:
        found.append(sparsity_picture(record.summary))
    if kept := _kept(record):
        found.append(kept_picture(kept))
    found += unit_pictures(record.units)
    found += curve_pictures(record.curves)
    if record.stages:
        found.append(seconds_picture(record))
    return [picture for picture in found if picture is not None]


def _sparse_teachers(teacher: Mapping[str, Any], mode: str) -> str:
    """The candidates, and how the best one is searched for."""
    if not any(teacher["sparsities"]):
        return "no sparse teacher"
    lams = "" if teacher["lams"] is None else f" at lam {_listed(teacher['lams'])}"
    return f"teachers of sparsity {_listed(teacher['sparsities'])}{lams}{ranked_by(teacher)}; search {mode}"


def _kept(record: RunRecord) -> list[tuple[str, Mark, Kept]]:
    """The units of the student and of the best student's sparse teacher, which all have the student's shape."""
    run, marks = RunFolder(record.folder), run_marks()
    models = {"all students": (marks[UNDISTILLED], run.initial_student.name)}
    measured = [] if record.summary is None else record.summary.models
    with_teacher = [model for model in measured if model.teacher_folder is not None]
    best = max(with_teacher, key=lambda model: model.selection_score, default=None)
    if best is not None and best.teacher_folder is not None:
        lam = "" if best.lam is None else f" lam {best.lam:g},"
        name = f"{SPARSE_TEACHER},{lam} sparsity {best.teacher_sparsity:g}"
        models[name] = (marks[SPARSE_TEACHER], best.teacher_folder)
    done = {name: folder for name, (_, folder) in models.items() if run.at(folder).is_model}
    if not done or not run.dense_teacher.is_model:
        return []
    kept = kept_of(record.folder, run.dense_teacher.name, done)
    return [(name, models[name][0], units) for name, units in kept.items()]


def _tables(record: RunRecord, measured: Sequence[MeasuredModel]) -> list[Table]:
    tables, marks = [], run_marks()
    if measured:
        tables.append(
            Table(
                "Models",
                ["", "score on dev", "parameters", "in the encoder", "file", "GFLOPs", "memory", "calibration error"],
                [
                    [
                        model.name,
                        score_text(model),
                        f"{model.parameters / 1e6:.2f} M",
                        f"{model.encoder_parameters / 1e6:.2f} M",
                        f"{model.megabytes:.1f} MB",
                        f"{model.gflops:.2f}",
                        f"{model.memory:.0f} MB",
                        "" if model.calibration is None else f"{model.calibration:.3f}",
                    ]
                    for model in measured
                ],
                "Score: hundredths, with a 95 % interval for other rows"
                + (" and seeds" if record.summary is not None and record.summary.has_seeds else "")
                + f". GFLOPs: matrix products of a row of {measured[0].tokens} tokens. Memory: peak of a process that "
                f"classifies 32 rows of {measured[0].tokens} tokens, Python and libraries included. Calibration: "
                "expected error in 15 bins.",
                [marks[model.name] for model in measured],
            )
        )
        for device in measured[0].latency:
            tables.append(
                Table(
                    f"Latency on the {device_text(device)}, milliseconds",
                    ["rows x tokens", *(f"{rows} x {length}" for rows, length in measured[0].latency[device])],
                    [
                        [model.name, *(spread_text(found) for found in model.latency[device].values())]
                        for model in measured
                    ],
                    "Median [fastest, slowest] of five rounds in turns, "
                    + (f"{threads_text()}" if device == "cpu" else "float32, until the answer is on the CPU")
                    + f"; measured on this machine, {measured[0].measured}.",
                    [marks[model.name] for model in measured],
                )
            )
    if exported := _exported(record.folder):
        tables.append(exported)
    if record.summary is not None:
        tables.append(_students(record.summary))
        if record.summary.classes is not None:
            rule = problem_of(config_of(record.folder / record.summary.best.folder)).rule
            tables.append(_classes(record.summary.classes, rule))
        if record.summary.comparisons:
            tables.append(_comparisons(record.summary))
    tables.append(Table("Environment of this report", ["", ""], list(environment().items())))
    return tables


def _exports(root: Path) -> list[tuple[str, Check]]:
    """Exported folders of a run, and what was measured when they were exported."""
    found = []
    for file in sorted([*root.glob(f"*/{EXPORT_CHECK}"), *root.glob(f"*/*/{EXPORT_CHECK}")]):
        check_exported(file.parent)
        found.append((str(file.parent.relative_to(root)), read_check(file.parent)))
    return found


def _exported(root: Path) -> Table | None:
    """The measurements of `stark export`; for students with 8-bit weights also those of the dense teacher."""
    rows = []
    for name, check in _exports(root):
        form = f"{check.format}, int8" if check.int8 else check.format
        alone = "" if check.alone is None else check.alone.count
        rows.append([name, form, *_form_cells(check), check.count, alone])
        if check.teacher is not None:
            rows.append([f"dense teacher, beside {name}", form, *_form_cells(check.teacher), "", ""])
    if not rows:
        return None
    header = ["", "form", "score on dev", "folder", "latency of one row", "another class", "depend on their batch"]
    note = (
        "As stark export measured them. Latency: milliseconds on the CPU. Another class: rows of dev that the model "
        "classifies otherwise. Depend on their batch: rows of dev with another class in a batch of their own. The "
        "dense teacher in the same form shows what 8 bits give without pruning."
    )
    return Table("Exported models", header, rows, note)


def _form_cells(form: Check | TeacherForm) -> list[str]:
    lengths = [int(shape.removeprefix("1x")) for shape in form.latency if shape.startswith("1x")]
    latency = f"{spread_text(form.latency[f'1x{max(lengths)}'])}, {max(lengths)} tokens" if lengths else ""
    return [f"{100 * form.score:.1f}", f"{form.megabytes:.1f} MB", latency]


def _students(summary: Summary) -> Table:
    metrics = summary.metrics
    rows = []
    for model in summary.models:
        chosen = " *" if model.folder == summary.best.folder else ""
        rows.append(
            [
                (model.baseline or model.name) + chosen,
                "" if model.seed is None else str(model.seed),
                "" if model.lam is None else f"{model.lam:g}",
                "" if model.teacher_sparsity is None else f"{model.teacher_sparsity:g}",
                f"{100 * model.selection_score:.2f}",
                *(f"{100 * model.dev[name]:.2f}" for name in metrics),
                f"{model.seconds:.0f}",
            ]
        )
    header = ["", "seed", "lam", "teacher sparsity", "selection", *(f"dev {name}" for name in metrics), "seconds"]
    known = run_marks()
    marks = [known[model.name] if model.baseline is None else OTHER for model in summary.models]
    return Table("All students", header, rows, f"* {choice_text(summary)}. Metrics in hundredths.", marks)


def _classes(classes: Sequence[ClassScore], rule: str) -> Table:
    rows = [
        [
            entry.label,
            f"{entry.rows:,}",
            *(f"{100 * value:.1f}" for value in (entry.f1, entry.precision, entry.recall, entry.teacher_recall)),
        ]
        for entry in classes
    ]
    note = (
        "The chosen student on dev, in hundredths. Precision: the share of its predictions of the class that are right."
        + (f" With this student, {rule}." if rule else "")
    )
    return Table("Classes", ["", "rows", "F1", "precision", "recall", "recall of the teacher"], rows, note)


def _comparisons(summary: Summary) -> Table:
    rows = [
        [
            f"{entry.treated} minus {entry.control}",
            f"{entry.points.value:+.2f}",
            certainty(summary, entry),
            ", ".join(f"{value:.2g}" for value in entry.mcnemar or []),
        ]
        for entry in summary.comparisons
    ]
    note = "Points of dev's score, for the one dense teacher that was finetuned here; McNemar's p by seed."
    return Table("Differences", ["", "points", "certainty", "McNemar"], rows, note)


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(f"{value:g}" for value in values)
