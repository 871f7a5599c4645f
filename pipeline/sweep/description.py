"""The YAML file of a sweep: fixed settings, settings to search over, objectives and constraints."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from pipeline.parsing.yaml_text import lines_of_keys, load_yaml, read_yaml_text
from pipeline.results.typed_json import WrongValueError, typed
from pipeline.settings import ExecutorName, SlurmSettings, check_ranges
from pipeline.sweep.objectives import COSTS, OBJECTIVES
from pipeline.sweep.space import Values, read_values
from stark.errors import StarkError

__all__ = ["Direction", "Sweep", "read_sweep"]

Direction = Literal["maximize", "minimize"]

_KEYS = ("run", "search", "objectives", "constraints", "trials", "seed", "executor", "slurm")
_MOST_SEED = 2**32 - 1
_CONFIG = "config"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a user's YAML file asks for.

    Args:
        path: The file.
        lines: Line of each key in it, by full name.
        run: Fixed settings of `stark run`, by full name; ``config`` is a file or a list of files.
        search: Values to try, by full name of the setting.
        objectives: ``maximize`` or ``minimize`` by name of the objective.
        constraints: Largest allowed value by name of the objective.
        trials: Number of trials.
        seed: Seed of the choice of settings.
        executor: Executor that runs the trials.
        slurm: What to ask for if they run on SLURM.
    """

    path: Path
    lines: Mapping[str, int]
    run: dict[str, Any]
    search: dict[str, Values]
    objectives: dict[str, Direction]
    constraints: dict[str, float]
    trials: int
    seed: int
    executor: ExecutorName = "local"
    slurm: SlurmSettings = field(default_factory=SlurmSettings)

    @property
    def measured(self) -> list[str]:
        """Names of all that is measured of a student: objectives, then what is only limited."""
        return list(dict.fromkeys((*self.objectives, *self.constraints)))

    def arguments(self, values: Mapping[str, Any]) -> list[str]:
        """The options of `stark run` for a trial.

        Args:
            values: Its values of the settings to search over.

        Returns:
            The options, without the name of the run.
        """
        configs = self.run.get(_CONFIG, [])
        fixed = {name: value for name, value in self.run.items() if name != _CONFIG}
        files = [f"--{_CONFIG}={file}" for file in ([configs] if isinstance(configs, str) else configs)]
        return [*files, *(f"--{name}={_text(value)}" for name, value in {**fixed, **values}.items())]

    def place(self, key: str) -> str:
        """The place of a key, for messages.

        Args:
            key: Its full name, such as ``search.student.sparsity``.

        Returns:
            File, line and key.
        """
        line = self.lines.get(key)
        return f"{self.path}{'' if line is None else f', line {line}'}: {key}"


def read_sweep(path: Path, settings: Collection[str]) -> Sweep:
    """Read the file of a sweep; the values of settings are not checked.

    Args:
        path: The file.
        settings: Full names of the settings of `stark run`.

    Returns:
        The sweep.

    Raises:
        StarkError: If a key is unknown, a setting does not exist or a value has the wrong form; the message names file,
            line and key.

    Examples:
        >>> import tempfile
        >>> text = "{search: {distillation.epochs: {low: 2, high: 8}}, objectives: {score: maximize}, seed: 1}"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "sweep.yaml").write_text(text)
        ...     sweep = read_sweep(Path(folder, "sweep.yaml"), ["distillation.epochs"])
        >>> sweep.trials, sweep.arguments({"distillation.epochs": 3})
        (20, ['--distillation.epochs=3'])
    """
    try:
        given = load_yaml(read_yaml_text(path))
    except yaml.YAMLError as error:
        raise StarkError(f"{path}: no YAML: {error}") from error
    if not isinstance(given, dict):
        raise StarkError(f"{path}: give a mapping with the keys {', '.join(_KEYS)}")
    lines = lines_of_keys(path)
    parts = {name: given.get(name, {}) for name in ("run", "search", "objectives", "constraints")}
    sweep = Sweep(path=path, lines=lines, trials=given.get("trials", 20), seed=given.get("seed", 776), **parts)
    for key in given:
        if key not in _KEYS:
            raise StarkError(f"{sweep.place(str(key))}: no such key: choose out of {', '.join(_KEYS)}")
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise StarkError(f"{sweep.place(name)} is {part!r}: give a mapping")
    for name in ("search", "objectives"):
        if not parts[name]:
            raise StarkError(f"{sweep.place(name)} is empty: name at least one {name.removesuffix('s')}")
    for name, least, most in (("trials", 1, 10**6), ("seed", 0, _MOST_SEED)):
        value = getattr(sweep, name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise StarkError(f"{sweep.place(name)} is {value!r}: give an integer from {least} to {most}")
    _check_settings(sweep, settings)
    _check_objectives(sweep)
    places = {
        "executor": _executor(sweep, given.get("executor", "local")),
        "slurm": _slurm(sweep, given.get("slurm", {})),
    }
    return Sweep(**{**vars(sweep), **places, "search": {name: _values(sweep, name) for name in parts["search"]}})


def _check_settings(sweep: Sweep, settings: Collection[str]) -> None:
    for part, known in (("run", {*settings, _CONFIG}), ("search", set(settings))):
        for name in getattr(sweep, part):
            if name not in known:
                near = difflib.get_close_matches(str(name), sorted(known), n=1)
                hint = f"did you mean {near[0]}?" if near else "stark run --help lists them"
                raise StarkError(f"{sweep.place(f'{part}.{name}')}: no such setting of stark run: {hint}")
    if both := sorted(sweep.run.keys() & sweep.search.keys()):
        raise StarkError(f"{sweep.place(f'search.{both[0]}')}: it is fixed in run, too: leave one of the two out")
    configs = sweep.run.get(_CONFIG, [])
    if not isinstance(configs, str) and not (
        isinstance(configs, list) and all(isinstance(file, str) for file in configs)
    ):
        raise StarkError(f"{sweep.place(f'run.{_CONFIG}')} is {configs!r}: give a file or a list of files")


def _check_objectives(sweep: Sweep) -> None:
    for name, direction in sweep.objectives.items():
        if name not in OBJECTIVES:
            raise StarkError(
                f"{sweep.place(f'objectives.{name}')}: no such objective: choose out of {', '.join(OBJECTIVES)}"
            )
        if direction not in get_args(Direction):
            raise StarkError(
                f"{sweep.place(f'objectives.{name}')} is {direction!r}: choose out of {', '.join(get_args(Direction))}"
            )
    for name, most in sweep.constraints.items():
        if name not in COSTS:
            raise StarkError(f"{sweep.place(f'constraints.{name}')}: it has no limit: choose out of {', '.join(COSTS)}")
        if isinstance(most, bool) or not isinstance(most, int | float) or not 0 < most < float("inf"):
            raise StarkError(f"{sweep.place(f'constraints.{name}')} is {most!r}: give the largest value, above 0")


def _executor(sweep: Sweep, name: Any) -> ExecutorName:  # noqa: ANN401 - whatever a file contains
    if name not in get_args(ExecutorName):
        raise StarkError(f"{sweep.place('executor')} is {name!r}: choose out of {', '.join(get_args(ExecutorName))}")
    found: ExecutorName = name
    return found


def _slurm(sweep: Sweep, given: Any) -> SlurmSettings:  # noqa: ANN401 - whatever a file contains
    if not isinstance(given, dict):
        raise StarkError(f"{sweep.place('slurm')} is {given!r}: give a mapping")
    try:
        found = typed(SlurmSettings, given, "slurm")
    except WrongValueError as error:
        known = ", ".join(item.name for item in fields(SlurmSettings))
        key, _, complaint = str(error).partition(" ")
        raise StarkError(f"{sweep.place(key)} {complaint}: slurm has {known}") from error
    except StarkError as error:
        raise StarkError(f"{sweep.place('slurm')}: {error}") from error
    try:
        check_ranges("slurm", found)
    except StarkError as error:
        raise StarkError(f"{sweep.path}: {error}") from error
    return found


def _values(sweep: Sweep, name: str) -> Values:
    try:
        return read_values(sweep.search[name])
    except StarkError as error:
        raise StarkError(f"{sweep.place(f'search.{name}')}: {error}") from error


def _text(value: Any) -> str:  # noqa: ANN401 - any value of YAML
    """A value as it is given on a command line."""
    return value if isinstance(value, str) else json.dumps(value)
