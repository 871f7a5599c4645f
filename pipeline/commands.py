"""The commands behind `stark`, and what becomes of their errors."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from pipeline.lightning_cli import CONFIGS, SUBCOMMANDS, StarkCLI

__all__ = ["run_command"]

_OWN_CODE = CONFIGS.parent


def run_command(args: list[str]) -> None:
    """Run a command; an error that our own code raised becomes one line and exit status 2.

    Args:
        args: The command and its options.
    """
    try:
        if args[0] in SUBCOMMANDS:
            StarkCLI(_find_configs(args))
        else:
            raise ValueError(f"unknown command {args[0]!r}: see stark --help")
    except (ValueError, TypeError, OSError) as error:
        if not _is_ours(error):
            raise
        print(f"stark: error: {error}", file=sys.stderr)
        sys.exit(2)


def _is_ours(error: BaseException) -> bool:
    """Whether our code raised an error on purpose; anything else is a defect and keeps its traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(_OWN_CODE) and ".venv" not in frames[-1].filename


def _find_configs(args: list[str]) -> list[str]:
    """Let ``configs/...`` mean the packaged file where the working directory has no such file."""
    return [
        str(CONFIGS.parent / arg)
        if arg.startswith("configs/") and not Path(arg).exists() and (CONFIGS.parent / arg).exists()
        else arg
        for arg in args
    ]
