"""Measure the recipes that docs/results.csv lacks, and write the tables of docs/results.md.

Every recipe in a cell is one call of `stark run`, which continues an interrupted run. What is in the table is not run
again. The first recipe of all cells comes first, then the second, and so on. Several processes may measure at the same
time, each of them other cells. The tables are written at the end; after an interruption a call without --encoder writes
them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from experiments.page import write_page
from experiments.plan import Cell, Recipe, read_plan
from experiments.results import Results
from experiments.students import Places, measure

_Part = TypeVar("_Part", Cell, Recipe)

_PLAN = Path(__file__).with_name("plan.yaml")


def main() -> None:
    """Run the plan, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", type=Path, help="the encoder's folder; without it, only the page is written")
    parser.add_argument("--data", type=Path, help="folder of the original data, with glue/ and own/")
    parser.add_argument("--root", type=Path, default=Path("runs/students"), help="folder of the runs")
    parser.add_argument("--plan", type=Path, default=_PLAN)
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="folder of results.csv and results.md")
    parser.add_argument("--recipes", nargs="+", metavar="RECIPE", help="measure only these")
    parser.add_argument("--cells", nargs="+", metavar="CELL", help="measure only these")
    options = parser.parse_args()
    plan, results = read_plan(options.plan), Results(options.docs)
    if options.encoder is not None:
        if options.data is None:
            parser.error("--encoder needs --data")
        places = Places(options.encoder.absolute(), options.data.absolute(), options.root.absolute())
        recipes = _chosen(plan.recipes, options.recipes, "recipe")
        cells = _chosen(plan.cells, options.cells, "cell")
        for recipe in recipes:
            for cell in cells:
                measure(plan, cell, recipe, places, results)
    write_page(plan, results, options.docs)


def _chosen(parts: Sequence[_Part], names: Sequence[str] | None, kind: str) -> list[_Part]:
    """The parts of a plan with these names; all without names."""
    known = [part.name for part in parts]
    for name in names or ():
        if name not in known:
            raise ValueError(f"the plan has no {kind} {name!r}: name some of {', '.join(known)}")
    return [part for part in parts if names is None or part.name in names]


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"experiments: error: {error}")
    except subprocess.CalledProcessError as error:  # the command has printed the reason
        sys.exit(error.returncode)
