"""The finished trials of a sweep as a table and as ``sweep.json``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipeline.sweep.description import Sweep
from stark.storage import write_json

__all__ = ["MEASURED", "RESULTS", "TRIALS", "Trial", "finished_trials", "name_of", "short", "table_of", "write_results"]

RESULTS = "sweep.json"
TRIALS = "trials"
"""The folder of the runs of trials."""
MEASURED = "measured"
"""Key of a trial's measurements in Optuna's study."""

_SCHEMA = 1


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Args:
        name: Name of its folder.
        settings: Its values of the settings to search over, by full name.
        measured: Its objectives, and what is only limited, by name.
        is_allowed: Whether it keeps all constraints.
        is_best: Whether no trial that keeps the constraints is better in one objective and as good in the others. With
            one objective this is the best trial.
    """

    name: str
    settings: dict[str, Any]
    measured: dict[str, float]
    is_allowed: bool
    is_best: bool


def name_of(trial: optuna.Trial | FrozenTrial) -> str:
    """The name of a trial's folder.

    Args:
        trial: A trial of Optuna.
    """
    return f"{trial.number:04}"


def finished_trials(study: Study, sweep: Sweep) -> list[Trial]:
    """The finished trials in their order.

    Args:
        study: Optuna's study.
        sweep: The sweep.

    Returns:
        The trials; none of them is the best if none keeps the constraints.
    """
    finished = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    best = {trial.number for trial in study.best_trials} if finished else set()
    found = []
    for trial in finished:
        measured = trial.user_attrs[MEASURED]
        allowed = all(measured[name] <= most for name, most in sweep.constraints.items())
        settings = {name: values.suggest(trial, name) for name, values in sweep.search.items()}
        found.append(Trial(name_of(trial), settings, measured, allowed, trial.number in best))
    return found


def write_results(folder: Path, sweep: Sweep, trials: list[Trial]) -> None:
    """Write ``sweep.json``.

    Args:
        folder: The sweep's folder.
        sweep: The sweep.
        trials: Its finished trials.
    """
    asked = {"objectives": sweep.objectives, "constraints": sweep.constraints}
    write_json(folder / RESULTS, {"schema": _SCHEMA, **asked, "trials": [asdict(trial) for trial in trials]})


def table_of(sweep: Sweep, trials: list[Trial]) -> Table:
    """The finished trials as a table.

    Args:
        sweep: The sweep.
        trials: Its finished trials.

    Returns:
        A table with a row per trial; the best ones are marked, as are those that do not keep the constraints.
    """
    kind = "best" if len(sweep.objectives) == 1 else "not worse in all objectives than another trial"
    told = [f"* {kind}; score: on the selection part"]
    if sweep.constraints:
        limits = ", ".join(f"{name} {most:g}" for name, most in sweep.constraints.items())
        told.append(f"- above a limit ({limits})")
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, caption="\n".join(told), caption_justify="left")
    table.add_column("trial")
    for name in sweep.search:
        table.add_column(name.replace(".", ".\n"), justify="right")
    for name in sweep.measured:
        table.add_column(name.replace("_", "_\n"), justify="right")
    for trial in trials:
        mark = " *" if trial.is_best else "" if trial.is_allowed else " -"
        values = [short(value) for value in trial.settings.values()]
        numbers = [_number(name, trial.measured[name]) for name in sweep.measured]
        table.add_row(trial.name + mark, *values, *numbers, style="bold" if trial.is_best else "")
    return table


def short(value: Any) -> str:  # noqa: ANN401 - any value of YAML
    """A value of a setting, as it is shown.

    Args:
        value: The value.

    Examples:
        >>> short(0.6213596), short(3), short("stark.Fisher")
        ('0.6214', '3', 'stark.Fisher')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(name: str, value: float) -> str:
    if name == "score":
        return f"{value:.4f}"
    return f"{value:,.0f}" if "parameters" in name else f"{value:.2f}"
