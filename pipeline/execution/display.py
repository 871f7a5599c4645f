"""The terminal output of a run: a progress bar for the running stage, a line for each stage, and the plan's table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.execution.plan import Decision
from pipeline.parsing.plain_text import PlainConsole, printable

__all__ = ["Display", "StageProgress", "plan_table"]


_FIRST_TIME = "it has not run yet"


class StageProgress(Callback):
    """Advances a stage's progress bar with the batches of its fit, and shows the latest score.

    Args:
        progress: The progress display.
        task: The stage's bar in it.
    """

    def __init__(self, progress: Progress, task: TaskID) -> None:
        """Store the bar."""
        self._progress = progress
        self._task = task
        self._best = -math.inf

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the bar's length and position."""
        total = trainer.num_training_batches * (trainer.max_epochs or 0)
        self._progress.update(self._task, total=total, completed=trainer.fit_loop.epoch_loop.total_batch_idx + 1)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401 - Lightning's signature
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Advance the bar."""
        self._progress.advance(self._task)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the latest and the best score."""
        if (score := trainer.callback_metrics.get("val/score")) is not None:
            self._best = max(self._best, float(score))
            self._progress.update(self._task, score=f"val/score {float(score):.4f}, best {self._best:.4f}")


class Display:
    """Progress on the terminal: a bar for the running stage, and a line for each finished stage."""

    def __init__(self) -> None:
        """Open the console; no bar is shown yet."""
        self.console = PlainConsole()

    @contextmanager
    def stage(self, name: str, reason: str) -> Iterator[StageProgress]:
        """Show a stage while it runs.

        Args:
            name: Name of the stage, such as ``trial``.
            reason: Reason why it runs.

        Yields:
            The callback that advances its bar.
        """
        columns = (
            TextColumn("{task.description:<22}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[score]}", markup=False),
            TimeElapsedColumn(),
        )
        if reason != _FIRST_TIME:
            self.console.print(f"{name:<22} {reason}", soft_wrap=True, highlight=False)
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(printable(name), total=None, score="")
            yield StageProgress(progress, task)
            # After early stopping the bar has not reached its end, although the stage is finished.
            progress.update(task, total=1, completed=1)

    def started(self, name: str, reason: str) -> None:
        """Print that a stage runs in a separate process.

        Args:
            name: Name of the stage.
            reason: Reason why it runs.
        """
        self.console.print(f"{name:<22} started" + ("" if reason == _FIRST_TIME else f": {reason}"), highlight=False)

    def finished(self, name: str, seconds: float) -> None:
        """Print that a stage in a separate process is finished.

        Args:
            name: Name of the stage.
            seconds: Duration of the stage in seconds.
        """
        self.console.print(f"{name:<22} finished after {seconds:.0f} s", highlight=False)

    def skipped(self, name: str) -> None:
        """Print that a stage was finished earlier."""
        self.console.print(f"{name:<22} finished earlier")


def plan_table(plan: Mapping[str, Decision]) -> Table:
    """Return a table of a run's plan.

    Args:
        plan: A decision for each stage.

    Returns:
        A table with a row per stage.
    """
    table = Table()
    for header in ("stage", "what", "why"):
        table.add_column(header, no_wrap=header == "stage")
    for name, decision in plan.items():
        table.add_row(name, decision.action, decision.reason)
    return table
