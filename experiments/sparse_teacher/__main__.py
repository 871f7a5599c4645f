"""Run the experiments that docs/sparse_teacher.csv lacks, and write the tables and pictures of docs/sparse_teacher.md.

Every search of a cell is one call of `stark run`, which continues an interrupted run. When it has finished, its numbers
are added to the table. A search that is in the table is not run again.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from datamodules import GLUEDataModule
from experiments.command import run_command
from experiments.sparse_teacher.collect import is_collected, keep_predictions, keep_units, rows_of
from experiments.sparse_teacher.page import write_page
from experiments.sparse_teacher.plan import Cell, Search, in_order, read_plan
from experiments.sparse_teacher.table import Table
from experiments.sparse_teacher.unused import UnusedRows
from pipeline.fits.isolation import stark_command

_PLAN = Path(__file__).with_name("plan.yaml")


def _run(cell: Cell, search: Search, options: argparse.Namespace) -> None:
    """Call `stark run`."""
    command = stark_command(["run", "--name", cell.name, "--root", str(options.root)])
    command += ["--model_name_or_path", str(options.encoder), "--data.data_dir", str(options.data)]
    command += ["--workers", str(options.workers)]
    for name, value in search.settings.items():
        command += [f"--{name}", str(value).replace("'", '"')]
    print(f"\n== {cell.task}, {cell.student}: {search.name} ==\n{' '.join(command)}", flush=True)
    subprocess.run(command, check=True)


def _unused(cell: Cell, search: Search, options: argparse.Namespace) -> UnusedRows | None:
    limit = search.settings.get("data.train_limit")
    if cell.task != "sst2" or limit is None:
        return None
    # `stark run` draws the training rows with `seed`, for all repetitions.
    seed = search.settings.get("seed", 776)
    data = GLUEDataModule(cell.task, str(options.data), str(options.encoder), train_limit=limit, seed=seed)
    return UnusedRows(data, Path(options.root) / "unused")


def _collect(cell: Cell, search: Search, options: argparse.Namespace, table: Table) -> None:
    """Add the results of a finished run to the docs."""
    folder, kept = Path(options.root) / cell.name, options.docs / "sparse_teacher"
    unused = _unused(cell, search, options)
    keep_predictions(folder, kept / f"{cell.name}_{search.name}.safetensors")
    if search.mode == "exhaustive":
        keep_units(folder, kept / f"{cell.name}_units.safetensors")
    # The table is written last, because a search that is in it counts as finished.
    table.add(rows_of(cell, search, folder, None if unused is None else unused.accuracy))


def main() -> None:
    """Run the plan, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", help="the encoder's model folder; without it, only the page is written")
    parser.add_argument("--data", help="folder of GLUE's original files")
    parser.add_argument("--root", default="runs/results", help="folder of the runs")
    parser.add_argument("--plan", type=Path, default=_PLAN)
    parser.add_argument(
        "--docs", type=Path, default=Path("docs"), help="folder of sparse_teacher.csv and sparse_teacher.md"
    )
    parser.add_argument("--workers", type=int, default=2, help="number of fits that run at the same time")
    options = parser.parse_args()
    table, cells = Table(options.docs / "sparse_teacher.csv"), read_plan(options.plan)
    if options.encoder is not None:
        if options.data is None:
            parser.error("--encoder needs --data")
        for cell, search in in_order(cells):
            if not is_collected(cell, search, table):
                _run(cell, search, options)
                _collect(cell, search, options, table)
                write_page(table, cells, options.docs)
    write_page(table, cells, options.docs)


if __name__ == "__main__":
    run_command(main)
