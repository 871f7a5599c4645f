"""Measure the recipes that docs/results.csv lacks, and write the tables of docs/results.md.

Every recipe in a cell is one call of `stark run`, which continues an interrupted run. What is in the table is not run
again. The first recipe of all cells comes first, then the second, and so on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

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
    options = parser.parse_args()
    plan, results = read_plan(options.plan), Results(options.docs)
    if options.encoder is not None:
        if options.data is None:
            parser.error("--encoder needs --data")
        places = Places(options.encoder.absolute(), options.data.absolute(), options.root.absolute())
        for recipe in plan.recipes:
            for cell in plan.cells:
                measure(plan, cell, recipe, places, results)
                write_page(plan, results, options.docs)
    write_page(plan, results, options.docs)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"experiments: error: {error}")
    except subprocess.CalledProcessError as error:  # the command has printed the reason
        sys.exit(error.returncode)
