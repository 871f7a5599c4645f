"""What is to be run, as experiments/results.yaml says it."""

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
        name: In the plan.
        settings: Its options, without ``--``; lists as they are.
    """

    name: str
    settings: Mapping[str, Any]

    @property
    def mode(self) -> str:
        """How it searches."""
        return str(self.settings["search.mode"])

    @property
    def seeds(self) -> list[int]:
        """Of its repetitions."""
        return list(self.settings["seeds"])

    @property
    def baselines(self) -> list[str]:
        """Their names."""
        return list(self.settings["baselines"])


@dataclass(frozen=True)
class Cell:
    """A task with a shape of student.

    Args:
        task: GLUE's name in lower case.
        student: For a person.
        searches: In their order, all in one folder.
    """

    task: str
    student: str
    searches: tuple[Search, ...]

    @property
    def name(self) -> str:
        """Name of its folder and files.

        Examples:
            >>> Cell("rte", "90 %, 6 epochs", ()).name
            'rte_90_6_epochs'
        """
        words = "".join(letter if letter.isalnum() or letter == "." else " " for letter in self.student).split()
        return "_".join([self.task, *words])


def read_plan(file: Path) -> list[Cell]:
    """Read a plan.

    Args:
        file: Such as ``experiments/results.yaml``.

    Returns:
        The cells.

    Raises:
        ValueError: If a cell names something that the plan does not have.
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
    """What is run after what: the first searches of all cells, then their second ones, and so on.

    Args:
        cells: Of the plan.

    Returns:
        Each search with its cell.
    """
    rounds = itertools.zip_longest(*(cell.searches for cell in cells))
    return [(cell, search) for one in rounds for cell, search in zip(cells, one, strict=True) if search is not None]
