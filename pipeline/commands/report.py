"""The command `stark report`."""

from __future__ import annotations

from pathlib import Path

from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.extras import need_extra
from pipeline.parsing.plain_text import printable
from pipeline.parsing.plugins import add_plugins, load_plugins
from pipeline.parsing.progress import LOADING, step
from pipeline.run_folder import RunFolder
from stark.errors import StarkError

__all__ = ["command", "parser"]


def parser() -> OneLineErrors:
    """Make the parser of `stark report`."""
    parser = OneLineErrors(prog="stark report", description="Show a run or a sweep as one page, figures first.")
    parser.add_argument("run", type=str, help="folder of a run or sweep, finished or not, such as runs/NAME")
    parser.add_argument("--output", type=str, help="HTML file; default: RUN/report.html; also writes Markdown")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files of these names that are not earlier pages, or were changed since",
    )
    parser.add_argument("--price", type=float, help="dollars per core and hour, for a million rows; default 0.05")
    add_plugins(parser)
    return parser


def command(args: list[str]) -> None:
    """Run the command.

    Args:
        args: The command line after its name.

    Raises:
        StarkError: If there is no such run, the name of the output does not fit a page, or the extra is missing.
        StarkFileExistsError: If the output exists and is not an earlier page.
    """
    options = parser().parse_args(args)
    if options.price is not None and options.price <= 0:
        raise StarkError(f"--price is {options.price}: give dollars per core and hour, above 0")
    with step(LOADING):
        load_plugins(options.plugins)
        need_extra("report", "stark report", "jinja2", "matplotlib")
        from pipeline.report.page import Page, check_page, write_page
        from pipeline.report.reading import read_run
        from pipeline.report.run_page import page_of_run
        from pipeline.sweep.results import is_sweep

    folder = Path(options.run)
    target = Path(options.output) if options.output else RunFolder(folder).report
    check_page(target, overwrite=options.overwrite)

    def write_run(run: Path, to: Path) -> tuple[Page, list[Path]]:
        with step(f"making the page of {run}"):
            page = page_of_run(read_run(run), options.price)
            return page, write_page(page, to, overwrite=options.overwrite)

    if is_sweep(folder):
        from pipeline.sweep.sweep_page import page_of_sweep, pages_to_make

        page = page_of_sweep(folder, target)
        files = write_page(page, target, overwrite=options.overwrite)
        for run in pages_to_make(folder):  # each takes a while, and is linked at once
            write_run(run, RunFolder(run).report)
            write_page(page_of_sweep(folder, target), target, overwrite=options.overwrite)
    else:
        page, files = write_run(folder, target)
    for line in (*map(str, files), *page.verdict):
        print(printable(line))
