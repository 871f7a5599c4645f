"""The commands of a single fit: `stark fit`, `validate`, `test` and `predict`, implemented by LightningCLI."""

from __future__ import annotations

import os

from callbacks import PARENT_VARIABLE
from pipeline.parsing.progress import LOADING, step

__all__ = ["command"]


def command(args: list[str]) -> None:
    """Run one of the commands.

    Args:
        args: The name of the command, and the command line after it.
    """
    with step(LOADING):
        from callbacks import EpochLines
        from pipeline.fits.lightning_cli import StarkCLI

    if PARENT_VARIABLE in os.environ:  # the fit of a run, in a process whose output is a log
        StarkCLI(args, [EpochLines()])
    else:
        StarkCLI(args)
