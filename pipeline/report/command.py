"""The command `stark report`."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import OneLineErrors
from pipeline.extras import need_extra

__all__ = ["report"]


def report(args: list[str]) -> None:
    """Run `stark report`.

    Args:
        args: The command line after `report`.

    Raises:
        ValueError: If there is no such run, or the extra is missing.
    """
    parser = OneLineErrors(prog="stark report", description="A run as one page, pictures first.")
    parser.add_argument("run", type=str, help="folder of a run, finished or not, such as runs/NAME")
    parser.add_argument("--output", type=str, help="HTML file; default RUN/report.html, and report.md beside it")
    options = parser.parse_args(args)
    need_extra("report", "stark report", "jinja2", "matplotlib")
    from pipeline.report.page import write_page
    from pipeline.report.reading import read_run
    from pipeline.report.run_page import page_of_run

    folder = Path(options.run)
    record = read_run(folder)
    target = Path(options.output) if options.output else folder / "report.html"
    for file in write_page(page_of_run(record), target):
        print(file)
