"""Renders a page as one HTML file without external resources, and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import jinja2

from pipeline.report.marks import Mark
from pipeline.report.pictures import Picture
from pipeline.results.markdown import as_text, fence_of
from stark.errors import StarkError
from stark.storage import check_output, is_signed, signed, write_output

__all__ = ["Number", "Page", "Table", "check_page", "write_page"]

# For pictures in separate files, which do not know the page's background: 4.3:1 on white as on near-black.
_GREY = "#747b85"
# The beginning of a link from a picture to another file.
_LINK = re.compile(r'(<a xlink:href=")')


@dataclass(frozen=True)
class Number:
    """A number at the top of a page.

    Args:
        value: The number as text.
        what: Its meaning.
    """

    value: str
    what: str


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        title: Title above the table.
        header: Names of its columns.
        rows: The cells as text.
        note: Note below the table.
        marks: The mark of each row's model, before its first cell; None for a row without one.
        links: The address to which each row's first cell leads; None for a row without one.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    marks: Sequence[Mark | None] = ()
    links: Sequence[str | None] = ()


@dataclass(frozen=True)
class Page:
    """The content of a page, from top to bottom.

    Args:
        title: Title of the page.
        headline: Sentences, of which the first is the answer.
        verdict: Sentences before them, of which the first is the verdict.
        numbers: Numbers at the top of the page.
        pictures: Pictures.
        tables: Tables.
        command: Command that repeats the run.
        settings: All settings, as YAML.
    """

    title: str
    headline: Sequence[str]
    numbers: Sequence[Number] = field(default_factory=list)
    pictures: Sequence[Picture] = field(default_factory=list)
    tables: Sequence[Table] = field(default_factory=list)
    command: str = ""
    settings: str = ""
    verdict: Sequence[str] = ()


def check_page(target: Path, *, overwrite: bool = False) -> None:
    """Check that a page may be written, before anything is measured for it.

    Args:
        target: The HTML file that the user named.
        overwrite: Whether existing files that are not earlier pages, unchanged, may be replaced.

    Raises:
        StarkError: If the name does not end in ``.html``.
        StarkFileExistsError: If one of its files exists and does not belong to an earlier page.
    """
    if target.suffix != ".html":
        raise StarkError(
            f"--output is {target}: give a name that ends in .html, for a page with its Markdown beside it"
        )
    beside, folder = _files_of(target)
    for file in (target, beside, *sorted(folder.glob("[0-9]*.svg"))):
        check_output(file, overwrite=overwrite, is_ours=is_signed)


def write_page(page: Page, target: Path, *, overwrite: bool = False) -> list[Path]:
    """Write a page.

    Args:
        page: Its content.
        target: Such as ``runs/mrpc/report.html``. The Markdown is ``report.md`` in the same folder, its pictures are in
            ``report_pictures/``.
        overwrite: As in `check_page`.

    Returns:
        The HTML file and the Markdown file.

    Raises:
        StarkError: As in `check_page`.
        StarkFileExistsError: As in `check_page`.
    """
    check_page(target, overwrite=overwrite)
    beside, folder = _files_of(target)
    template = files("pipeline.report")
    html = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    text = html.from_string((template / "page.html").read_text()).render(vars(page))
    write_output(target, signed(text), overwrite=overwrite, is_ours=is_signed)
    pictures = []
    for number, picture in enumerate(page.pictures):
        file = folder / f"{number}.svg"
        svg = picture.svg.replace("currentColor", _GREY).replace('width="100%"', "", 1)
        svg = _LINK.sub(r"\1../", svg)  # the picture is one folder deeper than the page
        write_output(file, signed(svg), overwrite=overwrite, is_ours=is_signed)
        pictures.append({"title": picture.title, "file": quote(f"{folder.name}/{file.name}")})
    plain = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    plain.filters["text"] = as_text
    values = {**vars(page), "pictures": pictures, "fence": fence_of(page.command)}
    markdown = plain.from_string((template / "page.md").read_text()).render(values)
    write_output(beside, signed(markdown.rstrip()), overwrite=overwrite, is_ours=is_signed)
    return [target, beside]


def _files_of(target: Path) -> tuple[Path, Path]:
    """The Markdown file of a page, and the folder of its pictures."""
    return target.with_suffix(".md"), target.with_name(f"{target.stem}_pictures")
