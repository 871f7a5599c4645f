"""Look-ups in the table of results: the values of a cell's students."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.sparse_teacher.plan import Cell, Search
from experiments.sparse_teacher.table import Row, Table
from pipeline.results.comparison import DENSE, EITHER, SPARSE
from pipeline.search.halving import halving_epochs, survivors

__all__ = ["UNUSED", "by_candidate", "by_mode", "finest", "gaps", "picked", "rows_of_cell", "trainings", "values_of"]

UNUSED = "unused_accuracy"
"""Name of the metric on the rows that belong to no split of the run."""


def finest(table: Table, cell: Cell) -> tuple[str, str]:
    """The metric of a cell that is measured on the most rows.

    Args:
        table: The results.
        cell: The cell.

    Returns:
        The metric's name, and a name for the rows.
    """
    unused = any(row.metric == UNUSED for row in rows_of_cell(table, cell))
    return (UNUSED, "unused rows") if unused else ("score", "dev")


def gaps(treated: Sequence[float], control: Sequence[float]) -> list[float]:
    """Differences between two methods for each seed, in points.

    Args:
        treated: The first method's value for each seed.
        control: The second method's value for each seed.

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


def picked(table: Table, cell: Cell, search: Search) -> list[str]:
    """Which student the choice between the dense and the sparse teacher's takes, by the selection part.

    Args:
        table: The results.
        cell: The cell.
        search: One of its searches.

    Returns:
        `DENSE` or `SPARSE` for each seed of the search; of equals the dense teacher's.
    """
    dense, sparse = (values_of(table, cell, search, method, "selection_score") for method in (DENSE, SPARSE))
    return [SPARSE if second > first else DENSE for first, second in zip(dense, sparse, strict=False)]


def values_of(table: Table, cell: Cell, search: Search, method: str, metric: str = "score") -> list[float]:
    """The values of a method's students, one per seed; for the sparse teacher, of the students that the search chose.

    Args:
        table: The results.
        cell: The cell.
        search: One of its searches.
        method: Name of the method.
        metric: Name of the metric.

    Returns:
        The values in the order of the search's seeds; missing ones are skipped.
    """
    if method == EITHER:
        sides = {name: values_of(table, cell, search, name, metric) for name in (DENSE, SPARSE)}
        picks = picked(table, cell, search)
        complete = all(len(values) == len(picks) for values in sides.values())
        return [sides[pick][number] for number, pick in enumerate(picks)] if complete else []
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
    """The number of student trainings that a search takes per seed; it includes the trial, and fractions of trainings.

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
    """The values of the students that a cell's searches chose, if the searches have several modes.

    Args:
        table: The results.
        cell: The cell.
        metric: Name of the metric.

    Returns:
        The finished searches with their students' values; empty if all have the same mode.
    """
    found = [(search, values) for search in cell.searches if (values := values_of(table, cell, search, SPARSE, metric))]
    return found if len({search.mode for search, _ in found}) > 1 else []


def by_candidate(
    table: Table, cell: Cell, search: Search, metric: str = "score"
) -> dict[tuple[float, float], list[float]]:
    """The values of each sparse teacher's students, one per seed.

    Args:
        table: The results.
        cell: The cell.
        search: A search that distils from every candidate.
        metric: Name of the metric.

    Returns:
        Values by lam and sparsity; empty until the search has finished.
    """
    found: dict[tuple[float, float], list[float]] = {}
    if not values_of(table, cell, search, SPARSE):
        return found
    for row in rows_of_cell(table, cell):
        own = row.method == SPARSE and row.metric == metric and row.seed in search.seeds
        if own and row.lam is not None and row.sparsity is not None:
            found.setdefault((row.lam, row.sparsity), []).append(row.value)
    return found
