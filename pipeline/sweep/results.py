"""The finished trials of a sweep as a table and as ``sweep.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from pipeline.sweep.description import Sweep
from stark.errors import StarkError
from stark.storage import is_file, write_json

__all__ = [
    "RESULTS",
    "TRIALS",
    "Results",
    "Trial",
    "is_sweep",
    "number_text",
    "read_results",
    "short",
    "table_of",
    "write_results",
]

RESULTS = "sweep.json"
TRIALS = "trials"
"""The folder of the runs of trials."""

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


@dataclass(frozen=True)
class Results:
    """The content of ``sweep.json``.

    Args:
        objectives: ``maximize`` or ``minimize`` by name of the objective.
        constraints: Largest allowed value by name of the objective.
        trials: The finished trials.
    """

    objectives: dict[str, str]
    constraints: dict[str, float]
    trials: list[Trial]

    @property
    def measured(self) -> list[str]:
        """Names of all that is measured of a student: objectives, then what is only limited."""
        return list(dict.fromkeys((*self.objectives, *self.constraints)))


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds a sweep of which a trial has finished.

    Args:
        folder: The folder.
    """
    return is_file(folder / RESULTS)


def read_results(folder: Path) -> Results:
    """Read ``sweep.json``.

    Args:
        folder: The sweep's folder.

    Returns:
        Its content.

    Raises:
        StarkError: If the file is damaged or was written by another version.
    """
    path = folder / RESULTS
    again = "give the sweep's command again to rebuild it"
    try:
        values = json.loads(path.read_bytes())
        if values["schema"] != _SCHEMA:
            raise StarkError(f"{path} has schema {values['schema']}, this version reads {_SCHEMA}: {again}")
        trials = [Trial(**values) for values in values["trials"]]
        found = Results(values["objectives"], values["constraints"], trials)
        complete = all(trial.measured.keys() >= set(found.measured) for trial in trials)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise StarkError(f"{path} is damaged: {again}") from error
    if not complete:
        raise StarkError(f"{path} is damaged: {again}")
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
        numbers = [number_text(name, trial.measured[name]) for name in sweep.measured]
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


def number_text(name: str, value: float) -> str:
    """A measurement of a trial, as it is shown.

    Args:
        name: Name of the objective.
        value: The value.

    Examples:
        >>> number_text("score", 0.91234), number_text("parameters", 1234567.0), number_text("latency", 3.14159)
        ('0.9123', '1,234,567', '3.14')
    """
    if name == "score":
        return f"{value:.4f}"
    return f"{value:,.0f}" if "parameters" in name else f"{value:.2f}"
