"""Writes the tables and pictures of docs/sparse_teacher.md from the table of results."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from experiments.sparse_teacher.estimates import differences
from experiments.sparse_teacher.figures import draw_figures, half_width
from experiments.sparse_teacher.plan import Cell, Search
from experiments.sparse_teacher.reading import (
    UNUSED,
    by_candidate,
    by_mode,
    finest,
    gaps,
    picked,
    rows_of_cell,
    trainings,
    values_of,
)
from experiments.sparse_teacher.table import TEACHER, Table
from pipeline.results.comparison import BEST_OF_K, DENSE, EITHER, SPARSE
from stark.storage import write_text

__all__ = ["write_page"]

_PAIRS = ((SPARSE, DENSE), (EITHER, BEST_OF_K), (DENSE, "no_teacher"), (SPARSE, "no_teacher"))
_MAIN = ("no_teacher", DENSE, BEST_OF_K, SPARSE)


def write_page(table: Table, cells: Sequence[Cell], docs: Path) -> None:
    """Write the parts of ``sparse_teacher.md`` between ``<!-- NAME -->`` and ``<!-- /NAME -->``, and its pictures.

    Args:
        table: The results.
        cells: The plan's cells; those that have not been run are skipped.
        docs: Folder of the page.

    Raises:
        ValueError: If the page has no markers for a part.
    """
    page = docs / "sparse_teacher.md"
    text = page.read_text(encoding="utf-8")
    parts = {
        "main": _main_table(table, cells),
        "differences": _difference_table(table, cells, docs / "sparse_teacher"),
        "unused": _unused_table(table, cells),
        "baselines": _method_table(table, cells, "baselines"),
        "probe": _method_table(table, cells, "probe"),
        "grid": _grid_table(table, cells),
        "modes": _mode_table(table, cells),
        "figures": _pictures(draw_figures(table, cells, docs / "sparse_teacher")),
    }
    for name, content in parts.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if start not in text or end not in text:
            raise ValueError(f"{page} has no place for {name}: add the lines {start} and {end}")
        before, rest = text.split(start, 1)
        text = f"{before}{start}\n{content or 'Not run yet.'}\n{end}{rest.split(end, 1)[1]}"
    write_text(page, text)


def _pictures(files: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"\n![{title}](sparse_teacher/{file})\n\n*{title}*" for file, title in files)


def _with(cells: Sequence[Cell], choose: Callable[[Search], bool]) -> Iterable[tuple[Cell, Search]]:
    return ((cell, search) for cell in cells for search in cell.searches if choose(search))


def _spread(values: Sequence[float]) -> str:
    """Mean and standard deviation in hundredths."""
    if not values:
        return ""
    mean = f"{100 * statistics.mean(values):.2f}"
    return f"{mean} ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else mean


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return ""
    ruler = ["---"] * left + ["---:"] * (len(header) - left)
    return "\n".join(["", f"| {' | '.join(header)} |", f"|{'|'.join(ruler)}|", *lines, ""])


def _main_table(table: Table, cells: Sequence[Cell]) -> str:
    rows = []
    for cell, search in _with(cells, lambda search: BEST_OF_K in search.baselines):
        for metric, on in (("score", "dev"), (UNUSED, "unused rows")):
            found = [values_of(table, cell, search, method, metric) for method in _MAIN]
            teacher = [row.value for row in rows_of_cell(table, cell) if row.method == TEACHER and row.metric == metric]
            if any(found):
                seeds = str(max(len(values) for values in found))
                rows.append([cell.task, cell.student, on, seeds, _spread(teacher), *map(_spread, found)])
    header = ["task", "student", "rows", "seeds", "the teacher", "no teacher", "dense", "dense, best of 2", "sparse"]
    return _markdown(header, rows, left=3)


def _difference_table(table: Table, cells: Sequence[Cell], folder: Path) -> str:
    def picks(name: str) -> Callable[[Cell], list[str]]:
        searches = {cell.name: search for cell, search in compared if search.name == name}
        return lambda cell: picked(table, cell, searches[cell.name])

    rows = []
    compared = list(_with(cells, lambda search: BEST_OF_K in search.baselines))
    names = dict.fromkeys(search.name for _, search in compared)
    for found in (found for name in names for found in differences(cells, folder, _PAIRS, name, picks(name))):
        where = f"{len(found.cells)} cells" if len(found.cells) > 1 else ", ".join(found.cells[0])
        estimate = found.estimate
        interval = f"[{estimate.low:+.2f}, {estimate.high:+.2f}]"
        rows.append([f"{found.treated} minus {found.control}", where, f"{estimate.value:+.2f}", interval])
    return _markdown(["difference", "over", "points", "95 % interval"], rows, left=2)


def _unused_table(table: Table, cells: Sequence[Cell]) -> str:
    """Differences on the unused rows, which are so many that only the seeds matter for the interval."""
    rows = []
    for cell, search in _with(cells, lambda search: BEST_OF_K in search.baselines):
        for pair in _PAIRS:
            treated, control = (values_of(table, cell, search, method, UNUSED) for method in pair)
            if len(treated) == len(control) > 1:
                better = sum(first > second for first, second in zip(treated, control, strict=True))
                where = f"{cell.task}, {cell.student}"
                said = [f"{pair[0]} minus {pair[1]}", where, _gap(treated, control), f"{better} of {len(treated)}"]
                rows.append(said)
    return _markdown(["difference", "over", "points, 95 % interval", "seeds above 0"], rows, left=2)


def _method_table(table: Table, cells: Sequence[Cell], name: str) -> str:
    """All methods of the searches with this name."""
    rows = []
    for cell, search in _with(cells, lambda search: search.name == name):
        metric, _ = finest(table, cell)
        dense = values_of(table, cell, search, DENSE, metric)
        for method in (DENSE, SPARSE, *search.baselines):
            dev, values = (values_of(table, cell, search, method, column) for column in ("score", metric))
            if values:
                said = f"{SPARSE} (lam {search.settings['teacher.lams'][0]:g})" if method == SPARSE else method
                unused = _spread(values) if metric == UNUSED else ""
                gap = "" if method == DENSE else _gap(values, dense)
                rows.append([cell.task, cell.student, said, _spread(dev), unused, gap])
    header = ["task", "student", "method", "dev", "unused rows", "minus dense, points"]
    return _markdown(header, rows, left=3)


def _gap(treated: Sequence[float], control: Sequence[float]) -> str:
    """Mean of the seeds' differences in points, with its interval."""
    if len(treated) != len(control) or len(treated) < 2:
        return ""
    points = gaps(treated, control)
    mean, half = statistics.mean(points), half_width(points)
    return f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}]"


def _mean_gap(treated: Sequence[float], control: Sequence[float]) -> str:
    """Mean and standard deviation of the seeds' differences in points."""
    if not treated or len(treated) != len(control):
        return ""
    points = gaps(treated, control)
    mean = f"{statistics.mean(points):+.2f}"
    return f"{mean} ± {statistics.stdev(points):.2f}" if len(points) > 1 else mean


def _grid_table(table: Table, cells: Sequence[Cell]) -> str:
    parts = []
    for cell, search in _with(cells, lambda search: search.mode == "exhaustive"):
        metric, on = finest(table, cell)
        by_place = by_candidate(table, cell, search, metric)
        sparsities = search.settings["teacher.sparsities"]
        dense = values_of(table, cell, search, DENSE, metric)
        rows = [
            [f"{lam:g}", *(_mean_gap(by_place.get((lam, sparsity), []), dense) for sparsity in sparsities)]
            for lam in search.settings["teacher.lams"]
            if any((lam, sparsity) in by_place for sparsity in sparsities)
        ]
        if rows:
            head = (
                f"\n{cell.task}, {cell.student}, {on}: the dense teacher's students have {_spread(dense)}. By how many "
                "points those of a sparse teacher with the same seed are better, mean ± standard deviation over seeds:"
            )
            header = ["lam", *(f"sparsity {value:g}" for value in sparsities)]
            parts.append(head + "\n" + _markdown(header, rows, left=1))
    return "\n".join(parts)


def _mode_table(table: Table, cells: Sequence[Cell]) -> str:
    rows = []
    for cell in cells:
        for search, values in by_mode(table, cell):
            what = [cell.task, cell.student, search.name, search.mode, f"{trainings(search):.3g}", str(len(values))]
            others = (values_of(table, cell, search, SPARSE, metric) for metric in ("selection_score", UNUSED))
            rows.append([*what, *map(_spread, (values, *others))])
    header = ["task", "student", "search", "mode", "trainings a seed", "seeds", "dev", "selection part", "unused rows"]
    return _markdown(header, rows, left=4)
