"""A page from its parts: HTML that needs nothing from outside, and the same as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import jinja2

from pipeline.report.pictures import Picture
from storage import write_text

__all__ = ["Number", "Page", "Table", "write_page"]

# Readable on white and on near-black, for pictures that a page only refers to.
_GREY = "#808791"


@dataclass(frozen=True)
class Number:
    """A number that is looked at first.

    Args:
        value: As it is written.
        what: What it is.
    """

    value: str
    what: str


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        title: Above it.
        header: Names of its columns.
        rows: Their cells, as they are written.
        note: Below it.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Page:
    """What a page has, in its order.

    Args:
        title: Of the page.
        headline: Sentences.
        numbers: That are looked at first.
        pictures: Next.
        tables: Then.
        command: That gives the run again.
        settings: All of them, as YAML.
    """

    title: str
    headline: Sequence[str]
    numbers: Sequence[Number] = field(default_factory=list)
    pictures: Sequence[Picture] = field(default_factory=list)
    tables: Sequence[Table] = field(default_factory=list)
    command: str = ""
    settings: str = ""


def write_page(page: Page, target: Path) -> list[Path]:
    """Write a page.

    Args:
        page: Its content.
        target: Such as ``runs/mrpc/report.html``; the Markdown lies beside it as ``report.md``, and its pictures in
            ``report_pictures/``.

    Returns:
        HTML and Markdown.
    """
    template = files("pipeline.report")
    html = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    text = html.from_string((template / "page.html").read_text()).render(vars(page))
    write_text(target, text)
    folder = target.with_name(f"{target.stem}_pictures")
    pictures = []
    for number, picture in enumerate(page.pictures):
        file = folder / f"{number}.svg"
        write_text(file, picture.svg.replace("currentColor", _GREY).replace('width="100%"', "", 1))
        pictures.append({"title": picture.title, "file": f"{folder.name}/{file.name}"})
    plain = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    markdown = plain.from_string((template / "page.md").read_text()).render({**vars(page), "pictures": pictures})
    beside = target.with_suffix(".md")
    write_text(beside, markdown.rstrip() + "\n")
    return [target, beside]
