"""Optuna's study of a sweep: a journal in the sweep's folder, and the trials that are finished in it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pipeline.sweep.description import Sweep
from pipeline.sweep.results import Trial
from stark.errors import StarkFileExistsError
from stark.storage import is_file

__all__ = ["MEASURED", "finished_trials", "name_of", "open_study"]

MEASURED = "measured"
"""Key of a trial's measurements in the study."""

_JOURNAL = "trials.log"
_ASKED = "asked"
"""Key of what a sweep asks for in the study."""


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


def open_study(sweep: Sweep, folder: Path, fixed: str) -> Study:
    """Open the journal of a sweep, or begin one.

    Args:
        sweep: The sweep.
        folder: Its folder.
        fixed: The settings that all trials share, as text.

    Returns:
        The study.

    Raises:
        StarkFileExistsError: If the folder holds a sweep that asks for something else, or something else.
    """
    journal = folder / _JOURNAL
    if not is_file(journal) and any(folder.iterdir()):
        raise StarkFileExistsError(f"{folder} exists and is no sweep, it has no {_JOURNAL}: choose another --name")
    if is_file(journal):
        _drop_torn_line(journal)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(
        storage=storage, study_name="sweep", directions=list(sweep.objectives.values()), load_if_exists=True
    )
    asked: dict[str, Any] = {
        "the fixed settings": fixed,
        "search": {name: [type(values).__name__, asdict(values)] for name, values in sweep.search.items()},
        **{"objectives": sweep.objectives, "constraints": sweep.constraints, "seed": sweep.seed},
    }
    asked = json.loads(json.dumps(asked))  # as the journal gives it back
    known = study.user_attrs.get(_ASKED, asked)
    if changed := [name for name in asked if known[name] != asked[name]]:
        raise StarkFileExistsError(
            f"{folder} holds a sweep in which {', '.join(changed)} differ from {sweep.path}: choose another --name"
        )
    study.set_user_attr(_ASKED, asked)
    return study


def _drop_torn_line(journal: Path) -> None:
    """Remove a last line that was not written to its end, to which Optuna would append the next one."""
    content = journal.read_bytes()
    if not content.endswith(b"\n"):
        with journal.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
