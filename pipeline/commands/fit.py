"""The commands of a single fit: `stark fit`, `validate`, `test` and `predict`, implemented by LightningCLI."""

from __future__ import annotations

__all__ = ["command"]


def command(args: list[str]) -> None:
    """Run one of the commands.

    Args:
        args: The name of the command, and the command line after it.
    """
    # Imported here, as it takes seconds.
    from pipeline.fits.lightning_cli import StarkCLI

    StarkCLI(args)
