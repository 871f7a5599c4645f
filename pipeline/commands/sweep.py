"""The command `stark sweep`."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.dispatch import find_configs
from pipeline.commands.run import setting_names, try_settings
from pipeline.describing.description import described, is_rows, rows_folder
from pipeline.parsing.errors import OneLineErrors, errors_of
from pipeline.parsing.extras import need_extra
from pipeline.parsing.plain_text import printable
from pipeline.parsing.progress import LOADING, step
from pipeline.run_folder import RunFolder
from stark.errors import StarkError

if TYPE_CHECKING:
    from pipeline.sweep.description import Sweep

__all__ = ["command", "parser"]

_TASK = "data.task"


def parser() -> OneLineErrors:
    """Make the parser of `stark sweep`."""
    parser = OneLineErrors(prog="stark sweep", description="Search over settings of stark run.")
    parser.add_argument("sweep", type=str, help="YAML file with fixed settings, settings to search, and objectives")
    parser.add_argument("--name", type=str, default="sweep", help="the sweep's folder is ROOT/NAME")
    parser.add_argument("--root", type=str, default="runs", help="folder of all runs and sweeps")
    parser.add_argument("--trials", type=int, help="number of trials, instead of the file's")
    parser.add_argument("--workers", type=int, default=1, help="number of trials that run at a time")
    return parser


def command(args: list[str]) -> None:
    """Run the command.

    Args:
        args: The command line after its name.

    Raises:
        StarkError: If the file of the sweep has a mistake, or the extra is missing; nothing has run then.
    """
    options = parser().parse_args(args)
    need_extra("sweep", "stark sweep", "optuna")
    with step(LOADING):
        # Imported here, as it takes seconds.
        from pipeline.executors.table import EXECUTORS
        from pipeline.sweep.description import read_sweep
        from pipeline.sweep.trials import run_sweep

    sweep = read_sweep(Path(options.sweep), setting_names())
    if options.trials is not None:
        if options.trials < 1:
            raise StarkError(f"trials is {options.trials}: give at least 1")
        sweep = replace(sweep, trials=options.trials)
    EXECUTORS[sweep.executor].check()
    place = Path(options.name)
    if not place.parts or place.is_absolute() or ".." in place.parts:
        raise StarkError(f"name is {options.name!r}: give a name for a folder under --root")
    if is_rows(rows := str(sweep.run.get(_TASK))):
        task = described(rows, rows_folder(options.root, options.name))
        sweep = replace(sweep, run={**sweep.run, _TASK: task})
    with step("checking the settings"):
        fixed, gpus = _check(sweep)
    folder = Path(options.root) / place
    target = _page(folder)
    run_sweep(sweep, folder, fixed, options.workers, gpus)
    if target is not None:
        # Imported here, as its extra may be missing.
        from pipeline.report.page import write_page
        from pipeline.sweep.sweep_page import page_of_sweep

        with step(f"making the page of {folder}"):
            page, _ = write_page(page_of_sweep(folder, target), target)
        print(printable(f"{page} shows them; stark report {folder} also makes the pages of the best runs"))


def _page(folder: Path) -> Path | None:
    """The file of the sweep's page; None, which a line says, if the extra for pages is missing.

    Raises:
        StarkFileExistsError: If a file of the user is in its place.
    """
    try:
        need_extra("report", "the page of a sweep", "jinja2", "matplotlib")
    except StarkError as missing:
        print(printable(f"warning: {missing}"))
        return None
    from pipeline.report.page import check_page

    target = RunFolder(folder).report
    check_page(target)
    return target


def _check(sweep: Sweep) -> tuple[str, int]:
    """Check the fixed settings together with each value, or each end of a range.

    Returns:
        The fixed settings as text, and the number of GPUs of a trial.
    """
    # Imported here, as it takes seconds.
    from pipeline.stages.fit import gpus_of
    from pipeline.stages.loss import loss_of
    from pipeline.stages.ranking import check_rankings

    first = {name: values.examples[0] for name, values in sweep.search.items()}
    others = [(name, value) for name, values in sweep.search.items() for value in values.examples[1:]]
    found = []
    for name, value in chain([("", None)], others):
        place = sweep.place(f"search.{name}") + f" of {value}" if name else str(sweep.path)
        try:
            with errors_of(sweep.path):
                arguments = sweep.arguments({**first, **({name: value} if name else {})})
                # The place of the sweep is not compared, because it may be moved.
                settings, text = try_settings([*find_configs(arguments), "--root=/"])
                check_rankings(settings, loss_of(settings.distillation))
        except StarkError as error:
            raise StarkError(f"{place}: {error}") from error
        found.append((text, gpus_of(settings.trainer)))
    return found[0]
