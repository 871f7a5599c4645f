"""The commands `stark report` and `stark compare`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import Namespace

from pipeline.extras import need_extra
from pipeline.plain_text import printable

__all__ = ["compare", "report"]


def report(options: Namespace) -> None:
    """Run `stark report`.

    Args:
        options: Its command line, parsed.

    Raises:
        ValueError: If there is no such run, the output is no name of a page, or the extra is missing.
        FileExistsError: If a file is there that is not an earlier page.
    """
    need_extra("report", "stark report", "jinja2", "matplotlib")
    from pipeline.report.page import check_page, write_page
    from pipeline.report.reading import read_run
    from pipeline.report.run_page import page_of_run

    folder = Path(options.run)
    target = Path(options.output) if options.output else folder / "report.html"
    check_page(target, overwrite=options.overwrite)
    for file in write_page(page_of_run(read_run(folder)), target, overwrite=options.overwrite):
        print(printable(str(file)))


def compare(options: Namespace) -> None:
    """Run `stark compare`.

    Args:
        options: Its command line, parsed.

    Raises:
        ValueError: If one of them is no run, the output is no name of a page, or the extra is missing.
        FileExistsError: If a file is there that is not an earlier page.
    """
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
