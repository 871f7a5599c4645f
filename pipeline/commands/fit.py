"""The commands of a single fit: `stark fit`, `validate`, `test` and `predict`, which are LightningCLI's."""

from __future__ import annotations

__all__ = ["command"]


def command(args: list[str]) -> None:
    """Run one of the commands.

    Args:
        args: Its name, and the command line after it.
    """
    # It takes seconds to import.
    from pipeline.fits.lightning_cli import StarkCLI

    StarkCLI(args)
