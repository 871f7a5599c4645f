"""The output of a run: a bar for the running stage on a terminal, lines elsewhere, and the plan's table."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from callbacks.epoch_lines import EpochLines, best_so_far, best_with, duration_text, score_text
from pipeline.execution.plan import Decision
from pipeline.execution.time_left import TimeLeft, time_left
from pipeline.parsing.plain_text import PlainConsole, printable

__all__ = ["Display", "StageLines", "StageProgress", "plan_table"]


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
        """Set the bar's length and position, and the best score that a resumed fit had before."""
        self._best = best_so_far(pl_module)
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
            self._best = best_with(trainer, float(score), self._best)
            self._progress.update(self._task, score=score_text(trainer, float(score), self._best))


class StageLines(EpochLines):
    """Prints a line after each epoch of a stage's fit, with the time that the run still takes.

    Args:
        name: Name of the stage.
        console: The console to print to.
        left: Function from the seconds that the fit still takes to the time that the run still takes.
    """

    def __init__(self, name: str, console: Console, left: Callable[[float], TimeLeft]) -> None:
        """Store them."""
        super().__init__()
        self._name, self._console, self._left = name, console, left

    def write(self, trainer: Trainer, line: str, left: float) -> None:
        """Print the line. A search has the fits of several candidates, which are named by their folders."""
        folder = Path(trainer.default_root_dir)
        own = Path(self._name).parts
        name = self._name if folder.parts[-len(own) :] == own else f"{self._name}, {'/'.join(folder.parts[-2:])}"
        parts = [f"at most {duration_text(left)} for the stage"] if left else []
        parts += [f"{rest} for the run"] if (rest := str(self._left(left))) else []
        end = f"; left: {', '.join(parts)}" if parts else ""
        self._console.print(f"{name}, {line}{end}", soft_wrap=True, highlight=False)


class Display:
    """The progress of a run on standard output.

    On a terminal the running stage has a bar, elsewhere it has a line at its start, after each epoch and at its end.

    Args:
        workers: Number of fits that run at a time.
    """

    def __init__(self, workers: int = 1) -> None:
        """Open the console; nothing is shown yet."""
        self.console = PlainConsole()
        self._workers = workers
        self._names: Sequence[str] = ()
        self._has_more = False
        self._seconds: Mapping[str, float] = {}
        self._begun: dict[str, float] = {}
        self._ended: set[str] = set()

    def expect(self, names: Sequence[str], seconds: Mapping[str, float], *, has_more: bool) -> None:
        """Take note of the stages of the run.

        Args:
            names: Names of all stages that are known so far.
            seconds: Seconds of those that are finished, by name, also from earlier attempts.
            has_more: Whether a search will add stages.
        """
        self._names, self._seconds, self._has_more = names, seconds, has_more

    @contextmanager
    def stage(self, name: str, reason: str) -> Iterator[Callback]:
        """Show a stage while it runs.

        Args:
            name: Name of the stage, such as ``trial``.
            reason: Reason why it runs.

        Yields:
            The callback that shows the progress of its fit.
        """
        self._begin(name)
        if not self.console.is_interactive:
            self._say(f"{self._of(name)}{_because(reason)}")
            yield StageLines(name, self.console, lambda left: self._left(name, left))
            self._say_end(name, time.monotonic() - self._begun[name])
            return
        columns = (
            TextColumn("{task.description:<22}", markup=False),
            TextColumn(f"{self._number(name):>5}", markup=False),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[score]:<25}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        if reason != _FIRST_TIME:
            self._say(f"{name:<22} {self._number(name):>5} {reason}")
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(printable(name), total=None, score="")
            yield StageProgress(progress, task)
            # After early stopping the bar has not reached its end, although the stage is finished.
            progress.update(task, total=1, completed=1)
        self._ended.add(name)

    def started(self, name: str, reason: str) -> None:
        """Print that a stage runs in a separate process.

        Args:
            name: Name of the stage.
            reason: Reason why it runs.
        """
        self._begin(name)
        self._say(f"{self._of(name)}, started{_because(reason)}")

    def finished(self, name: str, seconds: float) -> None:
        """Print that a stage in a separate process is finished.

        Args:
            name: Name of the stage.
            seconds: Duration of the stage in seconds.
        """
        self._say_end(name, seconds)

    def skipped(self, name: str) -> None:
        """Print that a stage was finished earlier."""
        self._begin(name)
        self._ended.add(name)
        self._say(f"{self._of(name)}, finished earlier")

    def _begin(self, name: str) -> None:
        self._begun.setdefault(name, time.monotonic())

    def _say_end(self, name: str, seconds: float) -> None:
        self._ended.add(name)
        self._seconds = {**self._seconds, name: seconds}
        end = f"; left: {left} for the run" if (left := str(self._left())) else ""
        self._say(f"{name}: finished after {duration_text(seconds)}{end}")

    def _of(self, name: str) -> str:
        number, _, known = self._number(name).partition("/")
        return f"stage {number} of {'at least ' if self._has_more else ''}{known.rstrip('+')}: {name}"

    def _number(self, name: str) -> str:
        """The stage's number in the order of their starts, and the number of stages: ``3/16``, or ``3/16+``."""
        return f"{list(self._begun).index(name) + 1}/{len(self._names)}{'+' if self._has_more else ''}"

    def _left(self, name: str = "", left: float = 0.0) -> TimeLeft:
        """The time that the run still takes, if a stage takes ``left`` seconds more."""
        now = time.monotonic()
        spent = {known: now - begun for known, begun in self._begun.items() if known not in self._ended}
        # The duration that the running stage will have had, which also tells how long others of its kind take.
        seconds = {**self._seconds, **({name: spent[name] + left} if name else {})}
        found = time_left(
            [known for known in self._names if known not in self._ended], seconds, spent, workers=self._workers
        )
        return replace(found, is_whole=found.is_whole and not self._has_more)

    def _say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True, highlight=False)


def _because(reason: str) -> str:
    return "" if reason == _FIRST_TIME else f", {reason}"


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
