"""The plan of the experiments on students, read from experiments/plan.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Cell", "Plan", "Recipe", "read_plan"]


@dataclass(frozen=True)
class Cell:
    """Rows, a size of student, and a length of its training. All recipes of a cell have the same steps.

    Args:
        task: Name of the task.
        labels: Number of labelled rows; None for all.
        sparsity: Fraction of heads and neurons that the student loses.
        steps: Steps of each distillation.
        settings: Further options of `stark run` in this cell.
    """

    task: str
    labels: int | None
    sparsity: float
    steps: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def teacher(self) -> str:
        """Name of the folder of the teacher, which all sizes of student share.

        Examples:
            >>> Cell("sst2", 500, 0.9, 2000).teacher, Cell("sst2", None, 0.9, 2000).teacher
            ('sst2_500', 'sst2_all')
        """
        return f"{self.task}_{self.labels or 'all'}"

    @property
    def name(self) -> str:
        """Name of the cell's folder and files.

        Examples:
            >>> Cell("sst2", 500, 0.9, 2000).name
            'sst2_500_90_2000'
        """
        return f"{self.teacher}_{100 * self.sparsity:g}_{self.steps}"


@dataclass(frozen=True)
class Recipe:
    """A way to make a student.

    Args:
        name: Its name in tables.
        settings: Options of `stark run` by name without ``--``, in addition to those of the plan.
        bases: Names of the recipes with which it is compared; it differs from the first one in one part.
        steps: How many times as many steps as the cell says.
    """

    name: str
    settings: Mapping[str, Any]
    bases: Sequence[str]
    steps: float


@dataclass(frozen=True)
class Plan:
    """Everything that is to be measured.

    Args:
        settings: Options of all runs.
        tasks: Further options by task.
        cells: The cells.
        recipes: The recipes in the order of the tables.
        seeds: Seeds of the students.
    """

    settings: Mapping[str, Any]
    tasks: Mapping[str, Mapping[str, Any]]
    cells: Sequence[Cell]
    recipes: Sequence[Recipe]
    seeds: Sequence[int]


def read_plan(file: Path) -> Plan:
    """Read a plan.

    Args:
        file: The plan's file, such as ``experiments/plan.yaml``.

    Returns:
        The plan.

    Raises:
        ValueError: If a cell names a task that is not in the plan, or a recipe a base.
    """
    plan = yaml.safe_load(file.read_text(encoding="utf-8"))
    recipes = []
    for name, found in plan["recipes"].items():
        settings = dict(found or {})
        base, steps = settings.pop("base", []), float(settings.pop("steps", 1))
        bases = [base] if isinstance(base, str) else base
        if unknown := [one for one in bases if one not in plan["recipes"]]:
            raise ValueError(
                f"{file}: recipe {name!r} has the base {unknown[0]!r}: name one of {', '.join(plan['recipes'])}"
            )
        recipes.append(Recipe(name, settings, bases, steps))
    cells = []
    for found in plan["cells"]:
        settings = dict(found)
        own = (settings.pop("task"), settings.pop("labels", None), settings.pop("sparsity"), settings.pop("steps"))
        cells.append(Cell(*own, settings))
    for number, cell in enumerate(cells, start=1):
        if cell.task not in plan["tasks"]:
            raise ValueError(
                f"{file}: cell {number} has the task {cell.task!r}: name one of {', '.join(plan['tasks'])}"
            )
    return Plan(plan["settings"], plan["tasks"], cells, recipes, plan["seeds"])
