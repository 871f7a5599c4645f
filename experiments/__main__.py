"""Measure the recipes that docs/results.csv lacks, and write the tables of docs/results.md.

Every recipe in a cell is one call of `stark run`, which continues an interrupted run. What is in the table is not run
again. The first recipe of all cells comes first, then the second, and so on. Several processes may measure at the same
time, each of them other cells. The tables are written at the end; after an interruption a call without --encoder writes
them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.command import chosen, run_command
from experiments.page import write_page
from experiments.plan import read_plan
from experiments.results import Results
from experiments.students import Places, measure

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
        recipes = chosen(plan.recipes, options.recipes, "recipe")
        cells = chosen(plan.cells, options.cells, "cell")
        for recipe in recipes:
            for cell in cells:
                measure(plan, cell, recipe, places, results)
    write_page(plan, results, options.docs)


if __name__ == "__main__":
    run_command(main)
