"""The command `stark compare`."""

from __future__ import annotations

from pathlib import Path

from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.extras import need_extra
from pipeline.parsing.plain_text import printable
from pipeline.parsing.plugins import add_plugins, load_plugins
from pipeline.parsing.progress import LOADING, step
from stark.errors import StarkError

__all__ = ["command", "parser"]


def parser() -> OneLineErrors:
    """Make the parser of `stark compare`."""
    parser = OneLineErrors(prog="stark compare", description="Several runs on one page.")
    parser.add_argument("runs", type=str, nargs="+", help="folders of runs, such as runs/A runs/B")
    parser.add_argument(
        "--output", type=str, default="runs/compare.html", help="HTML file; a Markdown file is written next to it"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files of these names that are not earlier pages, or were changed since",
    )
    add_plugins(parser)
    return parser


def command(args: list[str]) -> None:
    """Run the command.

    Args:
        args: The command line after its name.

    Raises:
        StarkError: If a folder is no run, the name of the output does not fit a page, or the extra is missing.
        StarkFileExistsError: If the output exists and is not an earlier page.
    """
    options = parser().parse_args(args)
    with step(LOADING):
        load_plugins(options.plugins)
        need_extra("report", "stark compare", "jinja2", "matplotlib")
        from pipeline.report.page import check_page, write_page
        from pipeline.report.reading import read_run
        from pipeline.report.runs_page import page_of_runs

    folders = [Path(run) for run in options.runs]
    if len(folders) < 2 or len(set(folders)) < len(folders):
        raise StarkError(f"runs are {', '.join(options.runs)}: name at least two, each once")
    check_page(Path(options.output), overwrite=options.overwrite)
    with step(f"making the page of {len(folders)} runs"):
        records = [read_run(folder) for folder in folders]
        files = write_page(page_of_runs(records), Path(options.output), overwrite=options.overwrite)
    for file in files:
        print(printable(str(file)))
