"""What a command is doing, on standard error: a moving line on a terminal, one plain line for each step elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipeline.parsing.plain_text import PlainConsole, printable

__all__ = ["LOADING", "Advance", "step"]

LOADING = "loading the libraries"
"""The step of a command's imports, which take seconds."""

Advance = Callable[[str, float | None], None]
"""A function that shows how far a step is: as text, and as a part of its total if that is known."""

# Seconds between two lines about the same step where there is no terminal.
_PAUSE = 60.0
# The display of the outermost step. rich allows only one, in which each inner step has a line.
_shown: list[Progress] = []


@contextmanager
def step(what: str, total: float | None = None) -> Iterator[Advance]:
    """Show a step of a command while it runs. Standard output stays free for results.

    On a terminal the line disappears at the end; print nothing to standard output before. Elsewhere the step is a plain
    line at its start, and at most one more line per minute if it advances.

    Args:
        what: The step, such as ``reading runs/mrpc``.
        total: The amount of work, in any unit; None where it is unknown.

    Yields:
        Function that shows how far the step is.

    Examples:
        >>> with step("counting", total=2) as advance:
        ...     advance("1 of 2 rows", 1)
    """
    console = PlainConsole(stderr=True)
    if not console.is_interactive:
        yield _in_lines(what)
    elif _shown:
        yield from _in_display(_shown[0], what, total)
    else:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[done]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        # Whatever is printed to standard output must get there, and not to the console of this display.
        with Progress(*columns, console=console, transient=True, redirect_stdout=False) as display:
            _shown.append(display)
            try:
                yield from _in_display(display, what, total)
            finally:
                _shown.clear()


def _in_lines(what: str) -> Advance:
    start = last = time.monotonic()
    _print(what)

    def advance(done: str, _: float | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PAUSE:
            last = now
            _print(f"{what}: {done}, {now - start:.0f} s")

    return advance


def _print(line: str) -> None:
    # In one piece, so that lines of several processes do not mix.
    print(printable(f"stark: {line}\n"), end="", file=sys.stderr, flush=True)


def _in_display(display: Progress, what: str, total: float | None) -> Iterator[Advance]:
    line = display.add_task(printable(what), total=total, done="")
    try:
        yield lambda done, completed: display.update(line, done=printable(done), completed=completed)
    finally:
        display.remove_task(line)
