"""Processes that find installed code only, whatever lies in the folder that they are started in."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["SAFE_PATH", "stark_command"]

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Environment variable that keeps the current folder off the path of a Python process and of all that it starts, such
as the other ranks of a fit. The user's own ``PYTHONPATH`` still counts."""

_ENTRY = Path(__file__).resolve().parents[2] / "cli.py"


def stark_command(args: list[str]) -> list[str]:
    """The command line of another `stark`.

    ``python -m cli`` would take a ``cli.py`` from the current folder. The entry is an absolute path instead; Lightning
    starts the other ranks by it as well.

    Args:
        args: Its command and options.

    Returns:
        The command line.

    Examples:
        >>> stark_command(["fit"])[1:]
        ['-P', '...cli.py', 'fit']
    """
    return [sys.executable, "-P", str(_ENTRY), *args]
