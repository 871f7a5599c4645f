"""The pictures of a report, as SVG in the text colour of the page, so that they are readable in light and dark mode."""

from __future__ import annotations

import io
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

from pipeline.report.measuring import Kept, MeasuredModel
from pipeline.report.reading import Curve, RunRecord, UnitScatter
from pipeline.results.latency import device_text
from pipeline.results.summary import Summary
from pipeline.run_folder import BASELINES, DISTILL, kind_of

__all__ = [
    "Picture",
    "curve_picture",
    "kept_picture",
    "latency_picture",
    "score_picture",
    "seconds_picture",
    "sparsity_picture",
    "unit_picture",
]

# Placeholder for the page's text colour, which matplotlib cannot name.
_TEXT = "#010203"
# Visible on white and on near-black, and distinguishable without red and green.
_COLORS = ("#3f7fd0", "#d9822b", "#8f63c7", "#2aa198", "#c2497f", "#8a8f98", "#b59b00")
_WIDTH = 7.0
_LONGEST = 30
_NUMBERS = count()


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
def _figure(height: float, columns: int = 1) -> Iterator[tuple[Figure, Any]]:
    settings: Any = {
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _TEXT),
        "axes.prop_cycle": cycler(color=_COLORS),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.size": 10,
        # Text stays text, so that it can be searched for and takes the page's font.
        "svg.fonttype": "none",
        # Dollar signs in names do not start formulas.
        "text.parse_math": False,
        "svg.hashsalt": "stark",
        "legend.frameon": False,
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        yield figure, figure.subplots(1, columns)


def _drawn(figure: Figure, title: str) -> Picture:
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
    label = title.replace('"', "'").replace("<", "&lt;")
    return Picture(title, svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1))


def score_picture(models: Sequence[MeasuredModel]) -> Picture:
    """Draw scores on dev with their intervals.

    Args:
        models: One model or more.

    Returns:
        A picture with one bar per model.
    """
    with _figure(0.9 + 0.42 * len(models)) as (figure, axes):
        for place, model in enumerate(reversed(models)):
            score = model.score
            color = _COLORS[0] if place == 0 else _COLORS[5]
            axes.plot([100 * score.low, 100 * score.high], [place, place], color=color, linewidth=3, alpha=0.6)
            axes.plot([100 * score.value], [place], "o", color=color, markersize=8)
            axes.annotate(
                f"{100 * score.value:.1f}", (100 * score.value, place), (0, 7), textcoords="offset points", ha="center"
            )
        axes.set(yticks=range(len(models)), yticklabels=[_short(model.name) for model in reversed(models)])
        axes.set(xlabel="score on dev, hundredths", ylim=(-0.6, len(models) - 0.2))
        axes.grid(axis="x", alpha=0.25)
        return _drawn(figure, "Score on dev, with a 95 % interval for other rows")


def _short(name: str) -> str:
    """The end of a long name, such as a path, which would otherwise leave no room for the bars."""
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"


def latency_picture(models: Sequence[MeasuredModel], device: str, shape: tuple[int, int]) -> Picture:
    """Draw score against latency; the area of a point is the size of the encoder.

    Args:
        models: One model or more.
        device: Device of the latency.
        shape: Rows and tokens.

    Returns:
        A picture with one point per model.
    """
    most = max(model.encoder_parameters for model in models)
    with _figure(3.4) as (figure, axes):
        for number, model in enumerate(models):
            found = model.latency[device][shape]
            size = 60 + 500 * model.encoder_parameters / most
            color = _COLORS[number % len(_COLORS)]
            axes.plot([found.low, found.high], [100 * model.score.value] * 2, color=color, linewidth=1)
            axes.scatter(
                [found.median], [100 * model.score.value], s=size, color=color, alpha=0.7, label=_short(model.name)
            )
        axes.set_xlabel(f"milliseconds for {shape[0]} x {shape[1]} tokens, {device_text(device)}")
        axes.set_ylabel("score on dev, hundredths")
        axes.set_xlim(left=0)
        axes.margins(0.15)
        axes.grid(alpha=0.25)
        legend = axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        for handle in legend.legend_handles:
            handle.set_sizes([60])
        return _drawn(figure, f"Score against latency on the {device_text(device)}; the area is the encoder's size")


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
    with _figure(3.4) as (figure, axes):
        for lam, points in sorted(found.items(), key=lambda item: item[0] or 0.0):
            places = sorted(points)
            means = [statistics.mean(points[place]) for place in places]
            spread = [statistics.stdev(points[place]) if len(points[place]) > 1 else 0 for place in places]
            label = "of sparse teacher" if lam is None else f"of sparse, lam {lam:g}"
            axes.errorbar(places, means, yerr=spread, marker="o", capsize=2, label=label)
        axes.axhline(statistics.mean(dense), color=_TEXT, linestyle="--", linewidth=1, label="of dense teacher")
        axes.set(xlabel="sparsity of the teacher", ylabel="score on dev, hundredths")
        axes.set_xticks(sorted({place for points in found.values() for place in points}))
        axes.grid(alpha=0.25)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        return _drawn(figure, "The student's score against the sparsity of its teacher")


def kept_picture(models: Mapping[str, Kept]) -> Picture:
    """Draw which heads each layer kept, and how many of its neurons.

    Args:
        models: One model or more, by name.

    Returns:
        A picture with a row of two plots per model.
    """
    shown = list(models.items())
    layers = len(shown[0][1].heads)
    with _figure(0.9 + len(shown) * (0.5 + 0.2 * layers), columns=1) as (figure, _):
        figure.clear()
        grid = figure.subplots(len(shown), 2, squeeze=False, width_ratios=[3, 2])
        for (name, kept), (heads, neurons) in zip(shown, grid, strict=True):
            heads.imshow([mask.tolist() for mask in kept.heads], cmap=_two_colors(), vmin=0, vmax=1, aspect="auto")
            places = range(0, len(kept.heads[0]), 1 + len(kept.heads[0]) // 16)
            heads.set(title=name, xlabel="head", ylabel="layer", yticks=range(layers), xticks=places)
            heads.set_xticks([edge - 0.5 for edge in range(1, len(kept.heads[0]))], minor=True)
            heads.set_yticks([edge - 0.5 for edge in range(1, layers)], minor=True)
            heads.grid(which="minor", color=_TEXT, alpha=0.25, linewidth=0.5)
            heads.tick_params(which="minor", length=0)
            shares = [float(mask.double().mean()) for mask in kept.neurons]
            neurons.barh(range(layers), [1] * layers, color=_COLORS[5], alpha=0.18)
            neurons.barh(range(layers), shares, color=_COLORS[0])
            for layer, share in enumerate(shares):
                neurons.annotate(f"{share:.0%}", (1, layer), (3, 0), textcoords="offset points", va="center")
            neurons.set(title="neurons", xlim=(0, 1), ylim=(layers - 0.5, -0.5), yticks=[], xticks=[])
        return _drawn(figure, "Heads (blue: kept) and the share of neurons that each layer kept")


def _two_colors() -> Any:  # noqa: ANN401 - matplotlib's
    # Removed heads have the same grey in light and dark mode.
    colors: Any = [(0.54, 0.56, 0.6, 0.18), _COLORS[0]]
    return mpl.colors.ListedColormap(colors)


def unit_picture(units: Mapping[str, UnitScatter]) -> Picture:
    """Draw expressiveness against friendliness for each unit of the teacher.

    Args:
        units: Scores of ``heads`` and ``neurons``.

    Returns:
        A picture with two scatter plots and one colour per layer.
    """
    with _figure(3.6, columns=2) as (figure, both):
        for axes, (kind, scatter) in zip(both, units.items(), strict=True):
            layers = len(scatter.expressiveness)
            for layer, (x, y) in enumerate(zip(scatter.expressiveness, scatter.friendliness, strict=True)):
                color = mpl.colormaps["plasma"](0.3 + 0.6 * layer / max(layers - 1, 1))
                size = 25 if kind == "heads" else 3
                # As pixels, because thousands of points as shapes would make the page megabytes large.
                axes.scatter(x.numpy(), y.numpy(), s=size, color=color, label=f"{layer}", rasterized=True)
            axes.set(xlabel="expressiveness", ylabel="friendliness", title=kind)
            if kind == "neurons":
                axes.set(xscale="log", yscale="log")
            axes.grid(alpha=0.25)
        both[0].legend(title="layer", fontsize="small", ncols=1 + layers // 7)
        return _drawn(figure, "Scores of the teacher's units, each layer divided by its norm")


def curve_picture(curves: Sequence[Curve]) -> Picture:
    """Draw the training loss and the score on the selection part of each fit.

    Args:
        curves: One curve or more.

    Returns:
        A picture with two plots.
    """
    with _figure(3.6, columns=2) as (figure, (losses, scores)):
        main = [curve for curve in curves if kind_of(curve.stage) not in (DISTILL, BASELINES)][:4]
        for curve in curves:
            number = main.index(curve) if curve in main else None
            style = {"color": _COLORS[5], "alpha": 0.35, "linewidth": 1}
            if number is not None:
                style = {"color": _COLORS[number % len(_COLORS)], "linewidth": 2, "label": curve.stage}
            for axes, points in ((losses, curve.losses), (scores, curve.scores)):
                axes.plot(
                    *zip(*points, strict=True), marker="." if len(points) < 2 else None, **style
                ) if points else ()
        losses.set(xlabel="step", ylabel="training loss")
        scores.set(xlabel="step", ylabel="score on the selection part")
        for axes in (losses, scores):
            axes.grid(alpha=0.25)
        if len(curves) > len(main):
            losses.plot([], [], color=_COLORS[5], alpha=0.6, label="other fits")
        # A short fit may have logged no loss.
        named = next((axes for axes in (losses, scores) if axes.get_legend_handles_labels()[1]), None)
        if named is not None:
            named.legend(fontsize="small")
        return _drawn(figure, "Training of each fit")


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
    with _figure(0.9 + 0.34 * len(seconds)) as (figure, axes):
        names = list(seconds)
        totals = [sum(values) for values in seconds.values()]
        axes.barh(names, totals, color=_COLORS[0])
        for place, (total, values) in enumerate(zip(totals, seconds.values(), strict=True)):
            text = f"{total:.0f} s" + (f" in {len(values)}" if len(values) > 1 else "")
            axes.annotate(text, (total, place), (4, 0), textcoords="offset points", va="center")
        axes.invert_yaxis()
        axes.set(xlabel="seconds")
        axes.margins(x=0.2)
        return _drawn(figure, "Seconds of each kind of stage")
