"""Results of a run as a table and lines."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipeline.results.summary import Model, Summary

__all__ = ["comparison_lines", "summary_table"]


def summary_table(summary: Summary) -> Table:
    """The closing table of a run; with two metrics and several seeds it still fits 80 columns.

    Args:
        summary: The results of the run.

    Returns:
        A table with a row per model; the chosen one is marked. Sizes are in its caption, as all students have the same.
    """
    models, best, metrics = summary.models, summary.best, summary.metrics
    teacher, student = (_parameters(model) for model in (models[0], best))
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=0,
        title=f"{summary.task}, seed {summary.seed}, search {summary.search}",
        caption="* best on the selection part\n"
        f"teacher: {teacher}\n"
        f"student: {student}\n"
        f"removed: {best.achieved.heads:.0%} of the heads, {best.achieved.neurons:.0%} of the neurons",
        caption_justify="left",
    )
    table.add_column("model")
    repeated = len({model.seed for model in models} - {None}) > 1
    for header in (
        *(["seed"] if repeated else []),
        "lam",
        "teacher\nsparsity",
        "selection\nscore",
        *(f"dev\n{name}" for name in metrics),
        "seconds",
    ):
        table.add_column(header, justify="right")
    for model in models:
        sparsity, is_best = model.teacher_sparsity, model.folder == best.folder
        table.add_row(
            model.name + (" *" if is_best else ""),
            *(["" if model.seed is None else str(model.seed)] if repeated else []),
            "" if model.lam is None else f"{model.lam:g}",
            "" if sparsity is None else f"{sparsity:g}",
            f"{model.selection_score:.4f}",
            *(f"{model.dev[name]:.4f}" for name in metrics),
            f"{model.seconds:.0f}",
            style="bold" if is_best else "",
        )
    return table


def _parameters(model: Model) -> str:
    return f"{model.parameters / 1e6:.2f} M parameters, {model.encoder_parameters / 1e6:.2f} M in the encoder"


def comparison_lines(summary: Summary) -> list[str]:
    """What the sparse teacher's student is worth beside the others.

    Args:
        summary: The results of the run.

    Returns:
        A line for each method that it is compared with; with one seed it adds that the interval is for other rows only.
    """
    scope = "" if summary.has_seeds else " for other rows; one seed says nothing of others"
    return [
        f"{entry.treated} minus {entry.control}: {entry.points.value:+.2f} points of dev's score "
        f"[{entry.points.low:+.2f}, {entry.points.high:+.2f}]{scope}"
        for entry in summary.comparisons
    ]
