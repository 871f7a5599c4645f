"""Signals that end a fit: the exception that they raise, and the process to watch. Imports nothing slow."""

from __future__ import annotations

import signal
from pathlib import Path

__all__ = ["PARENT_VARIABLE", "Interrupted"]

PARENT_VARIABLE = "STARK_PARENT"
"""Environment variable with the id of the parent process that waits for this fit; when it dies, the fit stops."""


class Interrupted(BaseException):
    """A signal ended the work; like KeyboardInterrupt, it is not caught by ``except Exception``."""

    def __init__(self, signum: int, checkpoint: Path | None = None) -> None:
        """Keep the signal and the checkpoint.

        Args:
            signum: Number of the signal; the process then exits with status 128 plus this number.
            checkpoint: Checkpoint to resume the fit from, if one was running.
        """
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum
        self.checkpoint = checkpoint
