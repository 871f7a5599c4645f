"""Writes the tables of docs/results.md from the results."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from datamodules.tasks.glue import TASKS as GLUE
from experiments.command import markdown_table
from experiments.data import TASKS
from experiments.plan import Cell, Plan
from experiments.results import INT8_TEACHER, TEACHER, Results
from pipeline.alternatives.table import ALTERNATIVES
from pipeline.results.statistics import Cell as Compared
from pipeline.results.statistics import Estimate, estimate_difference
from stark.problems.problem import Problem
from stark.problems.table import problem_for
from stark.storage import write_text

__all__ = ["write_page"]

# What is not a recipe of the plan, in the order of the tables.
_OTHERS = (INT8_TEACHER, *(title for title, _ in ALTERNATIVES.values()), "no_teacher")


def write_page(plan: Plan, results: Results, docs: Path) -> None:
    """Write the parts of ``results.md`` between ``<!-- NAME -->`` and ``<!-- /NAME -->``.

    Args:
        plan: The plan.
        results: The results.
        docs: Folder of the page.

    Raises:
        ValueError: If the page lacks a part.
    """
    page = docs / "results.md"
    text = page.read_text(encoding="utf-8")
    tables = {
        "scores": _scores(plan, results),
        "over_teacher": _over_teacher(plan, results),
        "differences": _differences(plan, results),
    }
    for name, table in tables.items():
        before, start, rest = text.partition(f"<!-- {name} -->")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not start or not end:
            raise ValueError(f"{page} has no part <!-- {name} --> ... <!-- /{name} -->")
        text = f"{before}{start}\n\n{table}\n\n{end}{after}"
    write_text(page, text)


def _scores(plan: Plan, results: Results) -> str:
    """Scores on dev of each recipe in each cell: mean and standard deviation over seeds."""
    cells = [cell for cell in plan.cells if results.values(cell.name, TEACHER, "score")]
    names = [TEACHER, *_OTHERS, *(recipe.name for recipe in plan.recipes)]
    rows = []
    for name in names:
        found = [results.values(cell.name, name, "score") for cell in cells]
        if any(found):
            rows.append([name.replace("_", " "), *(_mean(values) for values in found)])
    return markdown_table(["", *(cell.name for cell in cells)], rows)


def _mean(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = f"{100 * statistics.fmean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * statistics.stdev(values):.2f}"


def _differences(plan: Plan, results: Results) -> str:
    """The difference of each recipe from its bases, in points, in each cell and over all that have both."""
    rows = []
    for name, base in [(recipe.name, base) for recipe in plan.recipes for base in recipe.bases]:
        compared = [(cell, one) for cell in plan.cells if (one := _compared(cell, name, base, results))]
        if compared:
            every = _points(estimate_difference([one for _, one in compared]))
            each = "; ".join(f"{cell.name} {_points(estimate_difference([one]))}" for cell, one in compared)
            rows.append([name, base, every, each])
    return markdown_table(["recipe", "minus", "all cells", "each cell"], rows)


def _over_teacher(plan: Plan, results: Results) -> str:
    """The difference of each recipe's students from their teacher, in points, in each cell."""
    rows = []
    for name in (*_OTHERS, *(recipe.name for recipe in plan.recipes)):
        found = [_compared(cell, name, TEACHER, results) for cell in plan.cells]
        if any(found):
            rows.append(
                [name.replace("_", " "), *("" if one is None else _points(estimate_difference([one])) for one in found)]
            )
    return markdown_table(["recipe", *(cell.name for cell in plan.cells)], rows)


def _compared(cell: Cell, recipe: str, base: str, results: Results) -> Compared | None:
    said = results.predictions(cell.name)
    if not {recipe, base} <= said.keys():
        return None
    if base == TEACHER:  # all seeds have the same one
        said[base] = said[base].expand(len(said[recipe]), *said[base].shape[1:])
    seeds = min(len(said[recipe]), len(said[base]))
    problem, metrics = _scored(cell.task, said["labels"])
    if problem.has_classes:
        said = {name: values.long() for name, values in said.items()}
    score = problem.score_function(metrics)
    return Compared(cell.task, cell.name, said["labels"], said[base][:seeds], said[recipe][:seeds], score)


def _scored(task: str, labels: Tensor) -> tuple[Problem, Sequence[str]]:
    """The kind of label of a task, and the metrics whose mean is its score."""
    if task not in TASKS:
        return problem_for(GLUE[task].label_names), GLUE[task].metrics
    _, description = TASKS[task]
    names = labels.shape[-1] if labels.ndim > 1 else int(labels.max()) + 1
    return problem_for([str(name) for name in range(names)], description.get("kind")), description["metrics"]


def _points(found: Estimate) -> str:
    return f"{100 * found.value:+.2f} [{100 * found.low:+.2f}, {100 * found.high:+.2f}]"
