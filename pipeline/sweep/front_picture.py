"""The picture of a sweep's trials: the score against each other measurement, with the front."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.report.marks import OTHER, Mark, marks_of
from pipeline.report.pictures import Picture, drawn, figure_of, legend_below
from pipeline.sweep.results import Results, Trial, number_text

__all__ = ["front_picture", "kind_of", "trial_marks"]

_BEST, _ABOVE = "front", "above a limit"
_TEXTS = {
    "score": "score on the selection split",
    "parameters": "parameters, millions",
    "encoder_parameters": "parameters of the encoder, millions",
    "megabytes": "size of the folder, MB",
    "latency": "milliseconds for one row",
}
# With more names than this, they would cover each other.
_MOST_NAMES = 6


def kind_of(results: Results, trial: Trial) -> str:
    """What a trial is in the picture: one of the front, one above a limit, or another one.

    Args:
        results: The sweep's results.
        trial: One of its trials.
    """
    best = _BEST if len(results.objectives) > 1 else "best"
    return best if trial.is_best else "another trial" if trial.is_allowed else _ABOVE


def trial_marks(results: Results) -> dict[str, Mark]:
    """The marks of the trials by their names.

    Args:
        results: The sweep's results.
    """
    best, above = marks_of((_BEST, _ABOVE)).values()
    marks = {trial.name: OTHER if trial.is_allowed else above for trial in results.trials}
    return marks | {trial.name: best for trial in results.trials if trial.is_best}


def front_picture(results: Results, links: Mapping[str, str]) -> Picture:
    """Draw the trials by the score, or by the first objective, against each other objective and limit.

    With two objectives a line joins the trials of the front. If only one thing is measured, it is drawn against the
    trials in their order.

    Args:
        results: The sweep's results, of one trial or more.
        links: Addresses of the pages of runs, by name of the trial.

    Returns:
        A picture with a panel for each price.
    """
    measured, marks = results.measured, trial_marks(results)
    up = "score" if "score" in measured else measured[0]
    across: list[str | None] = [name for name in measured if name != up] or [None]
    kinds = dict.fromkeys(kind_of(results, trial) for trial in results.trials)
    best = [trial for trial in results.trials if trial.is_best]
    with figure_of(2.8 * len(across) + 0.17 * (len(kinds) + 2), len(across)) as (figure, axes):
        panels = axes if len(across) > 1 else [axes]
        for own, name in zip(panels, across, strict=True):
            places = {
                trial.name: (
                    place if name is None else _drawn(name, trial.measured[name]),
                    _drawn(up, trial.measured[up]),
                )
                for place, trial in enumerate(results.trials)
            }
            if len(results.objectives) == 2 and {up, name} == results.objectives.keys():
                # Nothing between two of them is known to be possible but what the cheaper one gives.
                is_usual = (results.objectives[up], results.objectives[str(name)]) == ("maximize", "minimize")
                front = sorted(places[trial.name] for trial in best)
                own.plot(
                    *zip(*front, strict=True) if front else ((), ()),
                    drawstyle="steps-post" if is_usual else "default",
                    color=OTHER.color,
                    linestyle="--",
                    linewidth=1.2,
                    zorder=1,
                )
            named = dict.fromkeys(kinds, False)
            for trial in results.trials:
                mark, kind = marks[trial.name], kind_of(results, trial)
                label = None if named[kind] else kind
                named[kind] = True
                (point,) = own.plot(
                    *([value] for value in places[trial.name]),
                    mark.shape,
                    color=mark.color,
                    markersize=8 if trial.is_best else 6,
                    zorder=3 if trial.is_best else 2,
                    label=label,
                )
                point.set_url(links.get(trial.name))
                if trial.is_best and len(best) <= _MOST_NAMES:
                    text = own.annotate(
                        trial.name, places[trial.name], (5, 5), textcoords="offset points", fontsize=9, zorder=4
                    )
                    text.set_url(links.get(trial.name))
            for limited, draw in ((name, own.axvline), (up, own.axhline)):
                if limited in results.constraints:
                    draw(
                        _drawn(str(limited), results.constraints[limited]),
                        color=marks_of((_BEST, _ABOVE))[_ABOVE].color,
                        linestyle=":",
                    )
            own.set(xlabel="trial, in their order" if name is None else _TEXTS[name], ylabel=_TEXTS[up])
            own.margins(0.12)
            own.grid(alpha=0.25)
        legend_below(figure, panels[0])
        told = [
            f"{trial.name}: " + ", ".join(f"{name} {number_text(name, trial.measured[name])}" for name in measured)
            for trial in best
        ]
        title = "The trials and their front" if len(results.objectives) > 1 else "The trials"
        if any(name in results.constraints for name in measured):
            title += "; dotted lines: limits"
        return drawn(figure, title, ". ".join(told))


def _drawn(name: str, value: float) -> float:
    """A measurement in the unit of its axis."""
    return value / 1e6 if "parameters" in name else value
