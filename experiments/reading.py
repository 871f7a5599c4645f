"""Reading the table of results: what the students of a cell have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.plan import Cell, Search
from experiments.table import Row, Table
from pipeline.results.comparison import SPARSE
from pipeline.search.halving import halving_epochs, survivors

__all__ = ["UNUSED", "by_candidate", "by_mode", "finest", "gaps", "rows_of_cell", "trainings", "values_of"]

UNUSED = "unused_accuracy"
"""Metric of the rows that were in no part."""


def finest(table: Table, cell: Cell) -> tuple[str, str]:
    """The metric of a cell that rests on most rows.

    Args:
        table: The results.
        cell: The cell.

    Returns:
        Its name, and the rows' name.
    """
    unused = any(row.metric == UNUSED for row in rows_of_cell(table, cell))
    return (UNUSED, "unused rows") if unused else ("score", "dev")


def gaps(treated: Sequence[float], control: Sequence[float]) -> list[float]:
    """Differences of the same seeds, in points.

    Args:
        treated: One value for each seed.
        control: The same.

    Returns:
        The differences.

    Examples:
        >>> gaps([0.5, 0.75], [0.25, 0.75])
        [25.0, 0.0]
    """
    return [100 * (first - second) for first, second in zip(treated, control, strict=True)]


def rows_of_cell(table: Table, cell: Cell) -> Iterator[Row]:
    """The rows of a cell.

    Args:
        table: The results.
        cell: The cell.

    Returns:
        The rows.
    """
    return (row for row in table if row.task == cell.task and row.student == cell.student)


def values_of(table: Table, cell: Cell, search: Search, method: str, metric: str = "score") -> list[float]:
    """What a method's students have, one for each seed; of the sparse teacher's those that the search chose.

    Args:
        table: The results.
        cell: The cell.
        search: One of its searches.
        method: Name of the method.
        metric: Column of the value.

    Returns:
        The values, of the search's seeds in their order; fewer where some are missing.
    """
    by_seed = {}
    chosen = {
        (row.lam, row.sparsity, row.seed)
        for row in rows_of_cell(table, cell)
        if row.metric == f"chosen_by_{search.name}"
    }
    for row in rows_of_cell(table, cell):
        if row.method != method or row.metric != metric:
            continue
        if method != SPARSE or (row.lam, row.sparsity, row.seed) in chosen:
            by_seed[row.seed] = row.value
    return [by_seed[seed] for seed in search.seeds if seed in by_seed]


def trainings(search: Search) -> float:
    """How many whole trainings of students a search takes for a seed, parts added up; the trial is one of them.

    Args:
        search: The search.

    Returns:
        The number.
    """
    candidates = len(search.settings["teacher.lams"]) * len(search.settings["teacher.sparsities"])
    if search.mode in ("predict", "none"):
        return 2
    if search.mode == "exhaustive":
        return 1 + candidates
    epochs, last, spent, alive = int(search.settings["distillation.epochs"]), 0, 0, candidates
    eta = int(search.settings.get("search.eta", 2))
    for end in halving_epochs(candidates, epochs, eta):
        spent += alive * (end - last)
        alive, last = survivors(alive, eta), end
    return 1 + (spent + alive * (epochs - last)) / epochs


def by_mode(table: Table, cell: Cell, metric: str = "score") -> list[tuple[Search, list[float]]]:
    """What the students that a cell's searches chose have, where it has several modes of search.

    Args:
        table: The results.
        cell: The cell.
        metric: Column of the value.

    Returns:
        The searches that are over, with their students' values; none where there is nothing to compare.
    """
    found = [(search, values) for search in cell.searches if (values := values_of(table, cell, search, SPARSE, metric))]
    return found if len({search.mode for search, _ in found}) > 1 else []


def by_candidate(
    table: Table, cell: Cell, search: Search, metric: str = "score"
) -> dict[tuple[float, float], list[float]]:
    """What the students of each sparse teacher have, one for each seed.

    Args:
        table: The results.
        cell: The cell.
        search: One that distils from every candidate.
        metric: Column of the value.

    Returns:
        Values by lam and sparsity; none as long as the search is not over.
    """
    found: dict[tuple[float, float], list[float]] = {}
    if not values_of(table, cell, search, SPARSE):
        return found
    for row in rows_of_cell(table, cell):
        own = row.method == SPARSE and row.metric == metric and row.seed in search.seeds
        if own and row.lam is not None and row.sparsity is not None:
            found.setdefault((row.lam, row.sparsity), []).append(row.value)
    return found
