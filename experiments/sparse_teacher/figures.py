"""Pictures of the results, as SVG files."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from scipy.stats import t

from experiments.sparse_teacher.plan import Cell
from experiments.sparse_teacher.reading import by_candidate, by_mode, finest, gaps, trainings, values_of
from experiments.sparse_teacher.table import Table
from pipeline.results.comparison import DENSE
from stark.storage import new_file, read_tensors

__all__ = ["draw_figures", "half_width"]

# A fixed salt, so that the same numbers give the same file.
mpl.rcParams["svg.hashsalt"] = "stark"
_LEVEL = 0.95
_PAIRED = "mean and 95 % interval over seeds of the difference to the dense teacher's student"


def draw_figures(table: Table, cells: Sequence[Cell], folder: Path) -> list[tuple[str, str]]:
    """Draw all pictures for which there are numbers.

    Args:
        table: The results.
        cells: The plan's cells.
        folder: Folder to which the pictures are written, and which has the files of `keep_units`.

    Returns:
        File name and title of each picture.
    """
    drawn = []
    for cell in cells:
        for name, what, figure in (*_grids(table, cell), *_modes(table, cell), *_units(cell, folder)):
            file = f"{cell.name}_{name}.svg"
            with new_file(folder / file) as temporary:
                figure.savefig(temporary, format="svg", metadata={"Date": None}, facecolor="white")
            drawn.append((file, f"{cell.task}, {cell.student}: {what}"))
    return drawn


def half_width(values: Sequence[float]) -> float:
    """Half the width of the 95 % interval for the mean over seeds, by Student's t.

    Args:
        values: One value per seed, at least two.

    Returns:
        Half the width, in the unit of the values.

    Examples:
        >>> round(half_width([1.0, 2.0, 3.0]), 3)
        2.484
    """
    deviation = statistics.stdev(values) / math.sqrt(len(values))
    return float(t.ppf((1 + _LEVEL) / 2, len(values) - 1)) * deviation


def _axes(width: float = 7.0, height: float = 4.0, columns: int = 1) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns)


def _grids(table: Table, cell: Cell) -> Iterator[tuple[str, str, Figure]]:
    """Score against teacher sparsity, with a line for each lam."""
    metric, on = finest(table, cell)
    for search in cell.searches:
        found = by_candidate(table, cell, search, metric)
        dense = values_of(table, cell, search, DENSE, metric)
        if search.mode != "exhaustive" or not found:
            continue
        figure, axes = _axes()
        lams = sorted({lam for lam, _ in found})
        for number, lam in enumerate(lams):
            points = sorted((sparsity, values) for (own, sparsity), values in found.items() if own == lam)
            # Shifted a little, so that the intervals do not overlap.
            places = [sparsity + 0.004 * (number - len(lams) / 2) for sparsity, _ in points]
            means, bars = zip(*(_mean_and_half(values, dense) for _, values in points), strict=True)
            axes.errorbar(places, means, yerr=bars, marker="o", markersize=4, capsize=2, label=f"lam {lam:g}")
        _against_dense(axes, dense, on)
        axes.set(xlabel="sparsity of the teacher")
        axes.legend(ncols=3, fontsize="small")
        yield "sparsity", f"score against the teacher's sparsity, {_PAIRED}", figure


def _modes(table: Table, cell: Cell) -> Iterator[tuple[str, str, Figure]]:
    """Cost of a search against the score of the student that it chose."""
    metric, on = finest(table, cell)
    points = by_mode(table, cell, metric)
    if not points:
        return
    figure, axes = _axes()
    for search, values in points:
        mean, bar = _mean_and_half(values, values_of(table, cell, search, DENSE, metric))
        axes.errorbar([trainings(search)], [mean], yerr=[bar], marker="o", capsize=3, label=search.mode)
    _against_dense(axes, values_of(table, cell, points[0][0], DENSE, metric), on)
    costs = sorted({trainings(search) for search, _ in points})
    axes.set(xscale="log", xlabel="student trainings a seed")
    axes.set(xticks=costs, xticklabels=[f"{cost:.3g}" for cost in costs])
    axes.minorticks_off()
    axes.legend()
    yield "modes", f"cost against result of the search modes, {_PAIRED}", figure


def _mean_and_half(values: Sequence[float], dense: Sequence[float]) -> tuple[float, float]:
    """Mean of the seeds' differences in points, and half the width of its interval (NaN for a single seed)."""
    points = gaps(values, dense)
    return statistics.mean(points), half_width(points) if len(points) > 1 else math.nan


def _against_dense(axes: Any, dense: Sequence[float], on: str) -> None:  # noqa: ANN401  # matplotlib's axes are not typed
    axes.axhline(0, color="black", linestyle="--", label=f"dense teacher, {100 * statistics.mean(dense):.2f}")
    axes.set(ylabel=f"minus the dense teacher's student\nof the same seed, points on {on}")


def _units(cell: Cell, folder: Path) -> Iterator[tuple[str, str, Figure]]:
    """Expressiveness against friendliness of each unit, and the shares of units that student and teachers kept."""
    file = folder / f"{cell.name}_units.safetensors"
    if not file.is_file():
        return
    units, _ = read_tensors(file)
    figure, both = _axes(9.0, 4.0, columns=2)
    for axes, kind in zip(both, ("heads", "neurons"), strict=True):
        expressive, friendly = (units[f"{kind}/{loss}"].numpy() for loss in ("expressiveness", "friendliness"))
        for layer, (x, y) in enumerate(zip(expressive, friendly, strict=True)):
            size = 25 if kind == "heads" else 3
            axes.scatter(x, y, s=size, color=mpl.colormaps["viridis"](layer / len(expressive)), label=f"layer {layer}")
        axes.set(xlabel="expressiveness", ylabel="friendliness", title=kind)
        if kind == "neurons":
            axes.set(xscale="log", yscale="log")
        axes.legend(fontsize="small")
        # Rasterised, because thousands of points as shapes make a file of megabytes.
        for points in axes.collections:
            points.set_rasterized(True)
    yield "scores", "each unit's normalised scores", figure
    models = sorted({name.split("/")[1] for name in units if name.startswith("kept_heads/")})
    figure, both = _axes(9.0, 1.2 + 0.35 * len(models), columns=2)
    for axes, kind in zip(both, ("heads", "neurons"), strict=True):
        shares = [units[f"kept_{kind}/{model}"].double().mean(-1).tolist() for model in models]
        image = axes.imshow(shares, vmin=0, vmax=1, cmap="viridis", aspect="auto")
        for row, values in enumerate(shares):
            for column, value in enumerate(values):
                color = "black" if value > 0.6 else "white"
                axes.text(column, row, f"{value:.0%}", ha="center", va="center", fontsize=7, color=color)
        axes.set(xlabel="layer", title=f"kept {kind}", yticks=range(len(models)), yticklabels=models)
        figure.colorbar(image, ax=axes)
    yield "kept", "the share of units that each layer kept", figure
