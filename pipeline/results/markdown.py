"""Escapes names, labels and paths for Markdown pages, so that they are shown unchanged."""

from __future__ import annotations

import re

__all__ = ["as_code", "as_text", "fence_of"]

# Characters that begin HTML, a code span or an escape, end a cell, or turn brackets before them into a link.
_MARKS = re.compile(r"[&<`\\|]|(?<=\])(?=[(\[:])")


def as_text(text: str) -> str:
    r"""Write a text into a sentence or a cell of a table.

    Args:
        text: The text. Its line breaks become spaces.

    Returns:
        Markdown in which no part of the text is HTML, a link, a picture or the end of a cell.

    Examples:
        >>> as_text("[a](http://b) <i>\n80.1 [79.0, 81.2]")
        '[a]\\(http://b) \\<i> 80.1 [79.0, 81.2]'
    """
    return " ".join(_MARKS.sub(lambda mark: f"\\{mark[0]}", text).split())


def as_code(text: str) -> str:
    """Write a text as a code span, such as a path.

    Args:
        text: The text.

    Returns:
        The code span.

    Examples:
        >>> as_code("runs/demo"), as_code("a`b")
        ('`runs/demo`', '`` a`b ``')
    """
    line = " ".join(text.split())
    marks = "`" * (_longest_run(line) + 1)
    return f"{marks} {line} {marks}" if "`" in line else f"{marks}{line}{marks}"


def fence_of(text: str) -> str:
    """The line that begins and ends a block of code.

    Args:
        text: The code.

    Returns:
        More backticks than the code has in a row, at least three.

    Examples:
        >>> fence_of("stark run"), fence_of("a ``` b")
        ('```', '````')
    """
    return "`" * max(3, _longest_run(text) + 1)


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
