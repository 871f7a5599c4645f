"""What the commands of the experiments share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

__all__ = ["chosen", "markdown_table", "run_command"]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Part = TypeVar("_Part", bound=_Named)


def run_command(main: Callable[[], None], name: str = "experiments") -> None:
    """Run a command; a mistake in what it was given is one line and status 1, and a failed call of `stark` its status.

    Args:
        main: The command.
        name: Its name in the line.
    """
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"{name}: error: {error}")
    except subprocess.CalledProcessError as error:  # the command has printed the reason
        sys.exit(error.returncode)


def chosen(parts: Sequence[_Part], names: Sequence[str] | None, kind: str) -> list[_Part]:
    """The parts of a plan with these names; all without names.

    Args:
        parts: The parts.
        names: The names; None for all.
        kind: What a part is, in messages.

    Raises:
        ValueError: If the plan has no part of a name.
    """
    known = [part.name for part in parts]
    for name in names or ():
        if name not in known:
            raise ValueError(f"the plan has no {kind} {name!r}: name some of {', '.join(known)}")
    return [part for part in parts if names is None or part.name in names]


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, whose first column is text and whose others are numbers.

    Args:
        head: Names of the columns.
        rows: The rows.

    Examples:
        >>> print(markdown_table(["recipe", "score"], [["logits", "85.11"]]))
        | recipe | score |
        | --- | ---: |
        | logits | 85.11 |
    """
    lines = [list(head), ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
