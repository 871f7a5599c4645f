"""The picture of what could be used: score against latency and against size, with the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.report.marks import OTHER, Mark
from pipeline.report.pictures import Picture, drawn, figure_of, legend_below, plain_log
from pipeline.report.usable import Usable

__all__ = ["front", "use_picture"]


def front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The models that no other one beats: the Pareto front.

    Args:
        points: Price (latency or size) and score by name.

    Returns:
        The names in the order of their prices. Any other model has one among these that costs no more and scores no
        less.

    Examples:
        >>> front({"small": (1.0, 70.0), "slow": (3.0, 60.0), "large": (2.0, 80.0)})
        ['small', 'large']
    """
    found, best = [], float("-inf")
    for name, (_, score) in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1])):
        if score > best:
            found.append(name)
            best = score
    return found


def use_picture(models: Sequence[Usable], marks: Mapping[str, Mark]) -> Picture:
    """Draw the score with its interval against the median latency of a single row, and against the size.

    Args:
        models: Two models or more that were measured.
        marks: Their marks, by name.

    Returns:
        A picture of two panels with logarithmic axes; a line is the front.
    """
    panels = (
        ("milliseconds for one row, median", "latency", lambda use: use.p50),
        ("size of all files, MB", "size", lambda use: use.megabytes),
    )
    with figure_of(5.2 + 0.17 * (len(models) + 1), len(panels)) as (figure, axes):
        told = []
        for place, (own, (what, short, price)) in enumerate(zip(axes, panels, strict=True)):
            points = {model.name: (price(model.use), 100 * model.score.value) for model in models}
            best = front(points)
            told.append(f"Front by {short}: {', '.join(best)}")
            own.step(
                *zip(*(points[name] for name in best), strict=True),
                where="post",
                color=OTHER.color,
                linestyle="--",
                linewidth=1.2,
                zorder=1,
                label="front: nothing is cheaper and better" if not place else None,
            )
            for model in models:
                x, y = points[model.name]
                mark = marks[model.name]
                own.plot([x, x], [100 * model.score.low, 100 * model.score.high], color=mark.color, alpha=0.6, zorder=2)
                own.plot(
                    [x], [y], mark.shape, color=mark.color, markersize=8, zorder=3, label=None if place else model.name
                )
            own.set(xscale="log", xlabel=what, ylabel="score on dev, hundredths")
            own.margins(0.1)
            plain_log(own.xaxis)
            own.grid(alpha=0.25)
        legend_below(figure, axes[0])
        return drawn(figure, "What could be used: score with interval against latency and size", ". ".join(told))
