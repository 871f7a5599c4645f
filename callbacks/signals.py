"""What becomes of a signal: the error that it raises, and who sends it. Imports nothing that takes long."""

from __future__ import annotations

import signal
from pathlib import Path

__all__ = ["PARENT_VARIABLE", "Interrupted"]

PARENT_VARIABLE = "STARK_PARENT"
"""Environment variable with the number of the process that waits for this fit; when it has died, the fit stops."""


class Interrupted(BaseException):
    """A signal asked to stop; like KeyboardInterrupt it passes by every ``except Exception``."""

    def __init__(self, signum: int, checkpoint: Path | None = None) -> None:
        """Say which signal came.

        Args:
            signum: Its number; the exit status of a process that obeys it is 128 more.
            checkpoint: Checkpoint to resume the fit from, if one was running.
        """
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum
        self.checkpoint = checkpoint
