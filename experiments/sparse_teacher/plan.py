"""The plan of the experiments, read from experiments/sparse_teacher/plan.yaml."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Cell", "Search", "in_order", "read_plan"]


@dataclass(frozen=True)
class Search:
    """One call of `stark run`.

    Args:
        name: The search's name in the plan.
        settings: Options of `stark run` by name without ``--``; lists as Python lists.
    """

    name: str
    settings: Mapping[str, Any]

    @property
    def mode(self) -> str:
        """The mode of the search."""
        return str(self.settings["search.mode"])

    @property
    def seeds(self) -> list[int]:
        """The seeds of its repetitions."""
        return list(self.settings["seeds"])

    @property
    def baselines(self) -> list[str]:
        """The names of its baselines."""
        return list(self.settings["baselines"])


@dataclass(frozen=True)
class Cell:
    """A task with a shape of student.

    Args:
        task: GLUE's name of the task, in lower case.
        student: Description of the student's shape, for readers.
        searches: The searches in the order in which they run, all in one folder.
    """

    task: str
    student: str
    searches: tuple[Search, ...]

    @property
    def name(self) -> str:
        """Name of the cell's folder and files.

        Examples:
            >>> Cell("rte", "90 %, 6 epochs", ()).name
            'rte_90_6_epochs'
        """
        words = "".join(letter if letter.isalnum() or letter == "." else " " for letter in self.student).split()
        return "_".join([self.task, *words])


def read_plan(file: Path) -> list[Cell]:
    """Read a plan.

    Args:
        file: The plan's file, such as ``experiments/sparse_teacher/plan.yaml``.

    Returns:
        The cells.

    Raises:
        ValueError: If a cell names a task, student or search that is not in the plan.
    """
    plan = yaml.safe_load(file.read_text())
    cells = []
    for number, cell in enumerate(plan["cells"], start=1):
        for key, known in (("task", plan["tasks"]), ("student", plan["students"])):
            if cell[key] not in known:
                raise ValueError(f"{file}: cell {number} has the {key} {cell[key]!r}: name one of {', '.join(known)}")
        searches = []
        for name in cell["searches"]:
            if name not in plan["searches"]:
                known = ", ".join(plan["searches"])
                raise ValueError(f"{file}: cell {number} has the search {name!r}: name one of {known}")
            settings = {
                "data.task": cell["task"],
                **plan["settings"],
                **plan["tasks"][cell["task"]],
                **plan["students"][cell["student"]],
                **plan["searches"][name],
                **cell.get("settings", {}),
            }
            searches.append(Search(name, settings))
        cells.append(Cell(cell["task"], cell["student"], tuple(searches)))
    return cells


def in_order(cells: Sequence[Cell]) -> list[tuple[Cell, Search]]:
    """The order of the runs: the first searches of all cells, then their second searches, and so on.

    Args:
        cells: The plan's cells.

    Returns:
        Each search with its cell.
    """
    rounds = itertools.zip_longest(*(cell.searches for cell in cells))
    return [(cell, search) for one in rounds for cell, search in zip(cells, one, strict=True) if search is not None]
