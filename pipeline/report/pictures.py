"""The pictures of a report, as SVG in the text colour of the page, so that they are readable in light and dark mode."""

from __future__ import annotations

import io
import re
import statistics
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from pipeline.report.marks import (
    DENSE_TEACHER,
    OTHER,
    STUDENT_OF_DENSE,
    STUDENT_OF_SPARSE,
    Mark,
    run_marks,
)
from pipeline.report.measuring import Kept, MeasuredModel
from pipeline.report.reading import Curve, RunRecord, UnitScatter
from pipeline.results.summary import Summary
from pipeline.run_folder import DISTILL, RunFolder, kind_of
from stark.forward.latency import device_text

__all__ = [
    "Picture",
    "curve_pictures",
    "drawn",
    "figure_of",
    "kept_picture",
    "latency_picture",
    "legend_below",
    "plain_log",
    "score_picture",
    "seconds_picture",
    "sparsity_picture",
    "unit_pictures",
]

# Placeholder for the page's text colour, which matplotlib cannot name.
_TEXT = "#010203"
# Inches. On a phone of 390 pixels a picture is about as wide, so that its text of 10 points is 10 pixels high there.
_WIDTH = 5.0
# Characters of a line, of which a picture has room for more, as fonts differ in width; and inches.
_LINE = 52
_LINE_HEIGHT = 0.17
_NUMBERS = count()
_STYLES = ("-", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
_FEW = 30


@dataclass(frozen=True)
class Picture:
    """A picture.

    Args:
        title: Title of the picture.
        svg: The SVG that is placed in a page.
    """

    title: str
    svg: str


@contextmanager
def figure_of(height: float, panels: int = 1) -> Iterator[tuple[Figure, Any]]:
    """A figure in the page's text colour.

    Args:
        height: Its height in inches.
        panels: Number of panels, one below the other.

    Yields:
        The figure, and its axes.
    """
    settings: Any = {
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _TEXT),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.size": 10,
        "axes.titlesize": 10,
        # Text stays text, so that it can be searched for and takes the page's font.
        "svg.fonttype": "none",
        # Dollar signs in names do not start formulas.
        "text.parse_math": False,
        "svg.hashsalt": "stark",
        "legend.frameon": False,
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        yield figure, figure.subplots(panels)


def drawn(figure: Figure, title: str, told: str = "") -> Picture:
    """Turn a figure into a picture.

    Args:
        figure: The figure.
        title: Title of the picture.
        told: What it shows in words, for those who do not see it.

    Returns:
        The picture.
    """
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :].replace(_TEXT, "currentColor")
    # Ids must differ between the pictures of one page.
    prefix = f"p{next(_NUMBERS)}-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'((?:xlink:)?href=")#', rf"\1#{prefix}", svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 width="100%"', svg, count=1)
    label = (f"{title}. {told}" if told else title).replace('"', "'").replace("<", "&lt;")
    return Picture(title, svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1))


def _wrapped(name: str) -> str:
    """The whole name, on several lines if it is long, such as a path."""
    return "\n".join(textwrap.wrap(name, _LINE)) or name


def legend_below(figure: Figure, axes: Any) -> None:  # noqa: ANN401 - matplotlib's
    """Name what is drawn, below the axes, where there is room for long names."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, [_wrapped(name) for name in names], loc="outside lower left", ncols=1)


def plain_log(axis: Any) -> None:  # noqa: ANN401 - matplotlib's
    """Mark a logarithmic axis by numbers, because powers of ten would be formulas.

    Args:
        axis: The axis.
    """
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 3.0) if high < 100 * low else (1.0,), numticks=6))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def score_picture(models: Sequence[MeasuredModel], marks: Mapping[str, Mark]) -> Picture:
    """Draw scores on dev with their intervals.

    Args:
        models: Two models or more.
        marks: Their marks, by name.

    Returns:
        A picture with one interval per model, below its name.
    """
    names = [_wrapped(model.name) for model in models]
    # Inches, from the top: the lines of a name, its interval, and a gap.
    lines = [_LINE_HEIGHT * (1 + name.count("\n")) for name in names]
    height = sum(lines) + 0.35 * len(models)
    with figure_of(height + 0.6) as (figure, axes):
        top = 0.0
        for model, name, size in zip(models, names, lines, strict=True):
            score, mark, place = model.score, marks[model.name], top + size + 0.15
            axes.annotate(name, (0, top), xycoords=axes.get_yaxis_transform(), va="top")
            axes.plot([100 * score.low, 100 * score.high], [place, place], color=mark.color, linewidth=3, alpha=0.6)
            axes.plot([100 * score.value], [place], mark.shape, color=mark.color, markersize=8)
            axes.annotate(
                f"{100 * score.value:.1f}",
                (1, place),
                (4, 0),
                xycoords=axes.get_yaxis_transform(),
                textcoords="offset points",
                va="center",
            )
            top = place + 0.2
        axes.set(xlabel="score on dev, hundredths", yticks=[], ylim=(height, 0))
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", alpha=0.25)
        return drawn(figure, "Score on dev, with a 95 % interval")


def latency_picture(
    models: Sequence[MeasuredModel], marks: Mapping[str, Mark], device: str, shape: tuple[int, int]
) -> Picture:
    """Draw score against latency; the area of a disc is the size of the encoder.

    Args:
        models: Two models or more.
        marks: Their marks, by name.
        device: Device of the latency.
        shape: Rows and tokens.

    Returns:
        A picture with one point per model.
    """
    most = max(model.encoder_parameters for model in models)
    lines = sum(1 + _wrapped(model.name).count("\n") for model in models)
    with figure_of(3.0 + _LINE_HEIGHT * lines) as (figure, axes):
        for model in models:
            found, score, mark = model.latency[device][shape], 100 * model.score.value, marks[model.name]
            # Discs, because the shapes of marks have different areas at the same size.
            area = 60 + 500 * model.encoder_parameters / most
            axes.scatter([found.median], [score], s=area, color=mark.color, alpha=0.3, linewidth=0)
            axes.plot([found.low, found.high], [score] * 2, color=mark.color, linewidth=1)
            axes.plot([found.median], [score], mark.shape, color=mark.color, label=model.name)
        axes.set_xlabel(f"milliseconds for {shape[0]} x {shape[1]} tokens, {device_text(device)}")
        axes.set_ylabel("score on dev, hundredths")
        axes.set_xlim(left=0)
        axes.margins(0.15)
        axes.grid(alpha=0.25)
        legend_below(figure, axes)
        return drawn(figure, f"Score against latency on the {device_text(device)}; discs show the encoder's size")


def sparsity_picture(summary: Summary) -> Picture | None:
    """Draw score on dev against the teacher's sparsity, with one line per lam.

    Args:
        summary: The results of the run.

    Returns:
        The picture; None where students of sparse teachers were trained at fewer than two sparsities.
    """
    found: dict[float | None, dict[float, list[float]]] = {}
    dense = []
    for model in summary.models:
        if model.baseline is None and model.teacher_sparsity is not None:
            score = 100 * model.dev_score
            if not model.teacher_sparsity:
                dense.append(score)
            else:
                found.setdefault(model.lam, {}).setdefault(model.teacher_sparsity, []).append(score)
    if len({sparsity for points in found.values() for sparsity in points}) < 2:
        return None  # there is no line to draw
    marks = run_marks()
    with figure_of(3.2 + _LINE_HEIGHT * len(found)) as (figure, axes):
        for number, (lam, points) in enumerate(sorted(found.items(), key=lambda item: item[0] or 0.0)):
            places = sorted(points)
            means = [statistics.mean(points[place]) for place in places]
            spread = [statistics.stdev(points[place]) if len(points[place]) > 1 else 0 for place in places]
            # All of them are students of sparse teachers, so that lines differ in their style and not in their colour.
            mark, style = marks[STUDENT_OF_SPARSE], _STYLES[number % len(_STYLES)]
            label = STUDENT_OF_SPARSE if lam is None else f"{STUDENT_OF_SPARSE}, lam {lam:g}"
            axes.errorbar(
                places, means, spread, color=mark.color, marker=mark.shape, linestyle=style, capsize=2, label=label
            )
        color = marks[STUDENT_OF_DENSE].color
        axes.axhline(statistics.mean(dense), color=color, linestyle="--", linewidth=1.5, label=STUDENT_OF_DENSE)
        axes.set(xlabel="sparsity of the teacher", ylabel="score on dev, hundredths")
        axes.set_xticks(sorted({place for points in found.values() for place in points}))
        axes.grid(alpha=0.25)
        legend_below(figure, axes)
        return drawn(figure, "The student's score against the sparsity of its teacher")


def kept_picture(models: Sequence[tuple[str, Mark, Kept]]) -> Picture:
    """Draw which heads each layer kept, and how many of its neurons.

    Args:
        models: Name, mark and units of one model or more.

    Returns:
        A picture with a row of two plots per model.
    """
    layers = len(models[0][2].heads)
    with figure_of(0.3 + len(models) * (0.9 + 0.2 * layers)) as (figure, _):
        figure.clear()
        # One figure per model, so that its name has the whole width.
        parts = figure.subfigures(len(models), squeeze=False)[:, 0]
        for part, (name, mark, kept) in zip(parts, models, strict=True):
            color = mark.color
            part.suptitle(_wrapped(name), fontsize=10)
            heads, neurons = part.subplots(1, 2, width_ratios=[3, 2])
            removed = (0.54, 0.56, 0.6, 0.18)  # the same grey in light and dark mode
            kinds: Any = [removed, color]
            colors = mpl.colors.ListedColormap(kinds)
            heads.imshow([mask.tolist() for mask in kept.heads], cmap=colors, vmin=0, vmax=1, aspect="auto")
            places = range(0, len(kept.heads[0]), 1 + len(kept.heads[0]) // 13)
            heads.set(xlabel="head", ylabel="layer", yticks=range(layers), xticks=places)
            heads.set_xticks([edge - 0.5 for edge in range(1, len(kept.heads[0]))], minor=True)
            heads.set_yticks([edge - 0.5 for edge in range(1, layers)], minor=True)
            heads.grid(which="minor", color=_TEXT, alpha=0.25, linewidth=0.5)
            heads.tick_params(which="minor", length=0)
            shares = [float(mask.double().mean()) for mask in kept.neurons]
            neurons.barh(range(layers), [1] * layers, color=removed)
            neurons.barh(range(layers), shares, color=color)
            for layer, share in enumerate(shares):
                neurons.annotate(f"{share:.0%}", (1, layer), (3, 0), textcoords="offset points", va="center")
            neurons.set(xlabel="neurons", xlim=(0, 1), ylim=(layers - 0.5, -0.5), yticks=[], xticks=[])
        return drawn(figure, "Heads (coloured: kept) and the share of neurons that each layer kept")


def unit_pictures(units: Mapping[str, UnitScatter]) -> list[Picture]:
    """Draw expressiveness against friendliness for each unit of the teacher.

    Args:
        units: Scores of ``heads`` and ``neurons``.

    Returns:
        A scatter plot of each, with one colour per layer.
    """
    pictures = []
    for kind, scatter in units.items():
        layers = len(scatter.expressiveness)
        columns = 6
        with figure_of(3.2 + _LINE_HEIGHT * -(-layers // columns)) as (figure, axes):
            for layer, (x, y) in enumerate(zip(scatter.expressiveness, scatter.friendliness, strict=True)):
                color = mpl.colormaps["plasma"](0.3 + 0.6 * layer / max(layers - 1, 1))
                size = 25 if kind == "heads" else 3
                # As pixels, because thousands of points as shapes would make the page megabytes large.
                axes.scatter(x.numpy(), y.numpy(), s=size, color=color, label=f"{layer}", rasterized=True)
            axes.set(xlabel="expressiveness", ylabel="friendliness")
            if kind == "neurons":
                axes.set(xscale="log", yscale="log")
                for axis in (axes.xaxis, axes.yaxis):
                    plain_log(axis)
            axes.grid(alpha=0.25)
            legend = figure.legend(loc="outside lower left", title="layer", ncols=columns, handletextpad=0.2)
            handles: Any = legend.legend_handles
            for handle in handles:
                handle.set_sizes([25])
            pictures.append(drawn(figure, f"Scores of the teacher's {kind}, each layer divided by its norm"))
    return pictures


def curve_pictures(curves: Sequence[Curve]) -> list[Picture]:
    """Draw the training loss and the score on the selection part of each fit.

    Args:
        curves: One curve or more.

    Returns:
        A picture of each of the two, unless no fit has two points of it.
    """
    shown = (
        ("training loss", "Training loss of each fit", lambda curve: curve.losses),
        ("score on the selection part", "Score on the selection part in each fit", lambda curve: curve.scores),
    )
    return [
        _curves([(curve.stage, points(curve)) for curve in curves], what, title)
        for what, title, points in shown
        if any(len(points(curve)) > 1 for curve in curves)
    ]


def _curves(lines: Sequence[tuple[str, list[tuple[int, float]]]], what: str, title: str) -> Picture:
    marks = run_marks()
    models: dict[str, list[list[tuple[int, float]]]] = {}
    for stage, points in lines:
        if points:
            models.setdefault(_model_of(stage), []).append(points)
    with figure_of(3.0 + _LINE_HEIGHT * len(models)) as (figure, axes):
        for name, several in models.items():
            mark = marks.get(name, OTHER)
            label = name if len(several) == 1 else f"{name}, {len(several)} fits"
            for number, points in enumerate(several):
                axes.plot(
                    *zip(*points, strict=True),
                    color=mark.color,
                    linewidth=2 if len(several) == 1 else 1.2,
                    alpha=1 if len(several) == 1 else 0.7,
                    # Shapes would cover a loss of hundreds of points.
                    marker=mark.shape if len(points) < _FEW else None,
                    markersize=4,
                    label="_" if number else label,
                )
        axes.set(xlabel="step", ylabel=what)
        axes.grid(alpha=0.25)
        legend_below(figure, axes)
        return drawn(figure, title)


def _model_of(stage: str) -> str:
    """The model that a fit trains."""
    run, kind = RunFolder(Path()), kind_of(stage)
    if kind == DISTILL and stage.rsplit("/", 1)[-1][0].isdigit():
        return STUDENT_OF_SPARSE  # those of baselines begin with the name of their ranking
    return {run.finetune.name: DENSE_TEACHER, run.trial.name: STUDENT_OF_DENSE}.get(kind, "student of a baseline")


def seconds_picture(record: RunRecord) -> Picture:
    """Draw how long each kind of stage took.

    Args:
        record: The run.

    Returns:
        A picture with one bar per kind.
    """
    seconds: dict[str, list[float]] = {}
    for name, stage in record.stages.items():
        seconds.setdefault(kind_of(name), []).append(stage.seconds)
    with figure_of(0.9 + 0.34 * len(seconds)) as (figure, axes):
        names = list(seconds)
        totals = [sum(values) for values in seconds.values()]
        axes.barh(names, totals, color=OTHER.color)
        for place, (total, values) in enumerate(zip(totals, seconds.values(), strict=True)):
            text = f"{total:.0f} s" + (f" in {len(values)}" if len(values) > 1 else "")
            axes.annotate(text, (total, place), (4, 0), textcoords="offset points", va="center")
        axes.invert_yaxis()
        axes.set(xlabel="seconds")
        axes.margins(x=0.2)
        return drawn(figure, "Seconds of each kind of stage")
