"""Starting processes that import installed code only, and never modules from the current folder."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["SAFE_PATH", "stark_command"]

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Environment variable that keeps the current folder off the import path of a Python process and of its child
processes, such as the other ranks of a fit. The user's ``PYTHONPATH`` is still used."""

_ENTRY = Path(__file__).resolve().parents[2] / "cli.py"


def stark_command(args: list[str]) -> list[str]:
    """Return the command line that starts `stark` in another process.

    ``python -m cli`` would run a ``cli.py`` in the current folder. Therefore the script is given by its absolute path;
    Lightning uses this path to start the other ranks as well.

    Args:
        args: Command and options.

    Returns:
        The command line.

    Examples:
        >>> stark_command(["fit"])[1:]
        ['-P', '...cli.py', 'fit']
    """
    return [sys.executable, "-P", str(_ENTRY), *args]
