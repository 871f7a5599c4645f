"""The commands `stark report` and `stark compare`."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import OneLineErrors
from pipeline.extras import need_extra
from pipeline.plain_text import printable

__all__ = ["compare", "report"]

_OVERWRITE = "replace files of these names that are not earlier pages, or were changed since"


def report(args: list[str]) -> None:
    """Run `stark report`.

    Args:
        args: The command line after `report`.

    Raises:
        ValueError: If there is no such run, the output is no name of a page, or the extra is missing.
        FileExistsError: If a file is there that is not an earlier page.
    """
    parser = OneLineErrors(prog="stark report", description="A run as one page, pictures first.")
    parser.add_argument("run", type=str, help="folder of a run, finished or not, such as runs/NAME")
    parser.add_argument("--output", type=str, help="HTML file; default RUN/report.html, and report.md beside it")
    parser.add_argument("--overwrite", action="store_true", help=_OVERWRITE)
    options = parser.parse_args(args)
    need_extra("report", "stark report", "jinja2", "matplotlib")
    from pipeline.report.page import check_page, write_page
    from pipeline.report.reading import read_run
    from pipeline.report.run_page import page_of_run

    folder = Path(options.run)
    target = Path(options.output) if options.output else folder / "report.html"
    check_page(target, overwrite=options.overwrite)
    for file in write_page(page_of_run(read_run(folder)), target, overwrite=options.overwrite):
        print(printable(str(file)))


def compare(args: list[str]) -> None:
    """Run `stark compare`.

    Args:
        args: The command line after `compare`.

    Raises:
        ValueError: If one of them is no run, the output is no name of a page, or the extra is missing.
        FileExistsError: If a file is there that is not an earlier page.
    """
    parser = OneLineErrors(prog="stark compare", description="Several runs on one page.")
    parser.add_argument("runs", type=str, nargs="+", help="folders of runs, such as runs/A runs/B")
    parser.add_argument("--output", type=str, default="runs/compare.html", help="HTML file; Markdown beside it")
    parser.add_argument("--overwrite", action="store_true", help=_OVERWRITE)
    options = parser.parse_args(args)
    need_extra("report", "stark compare", "jinja2", "matplotlib")
    from pipeline.report.page import check_page, write_page
    from pipeline.report.reading import read_run
    from pipeline.report.runs_page import page_of_runs

    folders = [Path(run) for run in options.runs]
    if len(folders) < 2 or len(set(folders)) < len(folders):
        raise ValueError(f"runs are {', '.join(options.runs)}: name at least two, each once")
    check_page(Path(options.output), overwrite=options.overwrite)
    records = [read_run(folder) for folder in folders]
    for file in write_page(page_of_runs(records), Path(options.output), overwrite=options.overwrite):
        print(printable(str(file)))
