"""Results of a run as a table and lines."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipeline.results.choice import eligible
from pipeline.results.summary import SCORE, Comparison, Model, Summary
from pipeline.results.verdict import Contender, decide_use, verdict_text
from pipeline.run_folder import MAJORITY

__all__ = ["certainty", "choice_text", "comparison_lines", "contenders", "summary_table", "verdict_line"]


def summary_table(summary: Summary) -> Table:
    """The closing table of a run; with two metrics and several seeds it still fits 80 columns.

    Args:
        summary: The results of the run.

    Returns:
        A table with a row per model; the chosen one is marked. Sizes are in its caption, as all students have the same.
    """
    models, best, metrics = summary.models, summary.best, summary.metrics
    teacher, student = (_parameters(model) for model in (models[0], best))
    # Without sparse teachers there was no search either.
    is_sparse = any(model.teacher_sparsity for model in models)
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=0,
        title=f"{summary.task}, seed {summary.seed}{f', search {summary.search}' if is_sparse else ''}",
        caption=f"* {choice_text(summary)}\nteacher: {teacher}\nstudent: {student}\n" + _shape(best),
        caption_justify="left",
    )
    table.add_column("model")
    repeated = len({model.seed for model in models} - {None}) > 1
    for header in (
        *(["seed"] if repeated else []),
        *(["lam", "teacher\nsparsity"] if is_sparse else []),
        "selection\nscore",
        *("dev\n" + name.replace("_", "_\n") for name in metrics),  # a long name would be cut
        "seconds",
    ):
        table.add_column(header, justify="right")
    for model in models:
        is_best = model.folder == best.folder
        given = ["" if value is None else f"{value:g}" for value in (model.lam, model.teacher_sparsity)]
        table.add_row(
            model.name + (" *" if is_best else ""),
            *(["" if model.seed is None else str(model.seed)] if repeated else []),
            *(given if is_sparse else []),
            f"{model.selection_score:.4f}",
            *(f"{model.dev[name]:.4f}" for name in metrics),
            f"{model.seconds:.0f}",
            style="bold" if is_best else "",
        )
    if summary.alternatives:
        table.add_section()
    for found in summary.alternatives or ():
        values = (found.selection_score, *(found.dev[name] for name in metrics))
        empty = [""] * (repeated + 2 * is_sparse)
        table.add_row(found.name, *empty, *(f"{value:.4f}" for value in values), "")
    return table


def verdict_line(summary: Summary) -> str:
    """What to use, as far as that is known without latencies.

    Args:
        summary: The results of the run.

    Returns:
        A sentence; empty for a run without simple alternatives.
    """
    if not summary.alternatives:
        return ""
    verdict = decide_use(contenders(summary))
    said = verdict_text(contenders(summary), verdict)
    return f"{said[0]} {said[-1]} `stark report` also compares latency and size."


def contenders(summary: Summary) -> list[Contender]:
    """The models of a run that could be used: teacher, chosen student and simple alternatives, without latencies.

    Args:
        summary: The results of the run.

    Returns:
        The models; none for a run of an earlier version, which does not know how the student differs.
    """
    if summary.over_teacher is None:
        return []
    return [
        Contender("teacher", "teacher", 100 * summary.models[0].dev_score, megabytes=_megabytes(summary.models[0])),
        Contender(
            "student",
            "student",
            100 * summary.best.dev_score,
            over_teacher=summary.over_teacher,
            megabytes=_megabytes(summary.best),
        ),
        *(
            Contender(
                found.name,
                "constant" if Path(found.folder).name == MAJORITY else "simple",
                100 * found.dev[SCORE],
                found.over_teacher,
                found.over_student,
                megabytes=found.megabytes,
            )
            for found in summary.alternatives or ()
        ),
    ]


def _megabytes(model: Model) -> float:
    """The size of a model's weights, which are float32."""
    return 4 * model.parameters / 1e6


def choice_text(summary: Summary) -> str:
    """Why the chosen student is the chosen one.

    Args:
        summary: The results of the run.

    Returns:
        A phrase without a period.
    """
    rows = "" if summary.selection_rows is None else f" ({summary.selection_rows:,} rows)"
    part = f"the selection part{rows}"
    students = eligible(summary.models, fixed=summary.search == "none")
    if summary.search == "none" and summary.best.teacher_sparsity:
        return "student of the only candidate: search.mode is none"
    if summary.best.selection_score >= max(model.selection_score for model in students):
        return f"best distilled student on {part}"
    kind = "a sparse teacher's" if summary.best.teacher_sparsity else "the dense teacher's"
    return f"chosen: {kind} student, within one standard error of the best on {part}"


def _shape(best: Model) -> str:
    if best.asked.layers is not None:
        return f"kept: {best.asked.layers} layers of the encoder"
    return f"removed: {best.achieved.heads:.0%} of the heads, {best.achieved.neurons:.0%} of the neurons"


def _parameters(model: Model) -> str:
    return f"{model.parameters / 1e6:.2f} M parameters, {model.encoder_parameters / 1e6:.2f} M in the encoder"


def comparison_lines(summary: Summary) -> list[str]:
    """The sparse teacher's student against the other methods' students.

    Args:
        summary: The results of the run.

    Returns:
        A line for each method that it is compared with.
    """
    return [
        f"{entry.treated} minus {entry.control}: {entry.points.value:+.2f} points on dev, {certainty(summary, entry)}"
        for entry in summary.comparisons
    ]


def certainty(summary: Summary, entry: Comparison) -> str:
    """How certain a difference is: its interval, which a run of one seed does not have.

    Args:
        summary: The results of the run.
        entry: One of its comparisons.

    Returns:
        A phrase.
    """
    if not summary.has_seeds:
        return "one run: no interval for other seeds"
    return f"95 % interval [{entry.points.low:+.2f}, {entry.points.high:+.2f}]"
