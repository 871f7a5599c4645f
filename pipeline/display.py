"""What a person sees of a run: a progress bar for the stage at work, and the closing table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.box import SIMPLE_HEAD
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.plain_text import PlainConsole, printable
from pipeline.plan import Decision

__all__ = ["Display", "StageProgress", "comparison_lines", "plan_table", "summary_table"]

_FIRST_TIME = "it has not run yet"


class StageProgress(Callback):
    """Moves a stage's bar with the batches of its fit, and shows the latest score.

    Args:
        progress: The bars.
        task: The stage's bar.
    """

    def __init__(self, progress: Progress, task: TaskID) -> None:
        """Store the bar."""
        self._progress = progress
        self._task = task
        self._best = -math.inf

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Size the bar."""
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
        """Move the bar."""
        self._progress.advance(self._task)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the score, and the best so far."""
        if (score := trainer.callback_metrics.get("val/score")) is not None:
            self._best = max(self._best, float(score))
            self._progress.update(self._task, score=f"val/score {float(score):.4f}, best {self._best:.4f}")


class Display:
    """Progress on the terminal: the bar of the stage at work, and a line for each stage that is done."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self.console = PlainConsole()

    @contextmanager
    def stage(self, name: str, reason: str) -> Iterator[StageProgress]:
        """Show a stage while it runs.

        Args:
            name: Such as ``trial``.
            reason: Why it runs.

        Yields:
            The callback that moves its bar.
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
            # An early stop leaves the bar short of its end; the stage is done all the same.
            progress.update(task, total=1, completed=1)

    def started(self, name: str, reason: str) -> None:
        """Say that a stage runs in a process of its own.

        Args:
            name: Of the stage.
            reason: Why it runs.
        """
        self.console.print(f"{name:<22} started" + ("" if reason == _FIRST_TIME else f": {reason}"), highlight=False)

    def finished(self, name: str, seconds: float) -> None:
        """Say that such a stage is done.

        Args:
            name: Of the stage.
            seconds: That it took.
        """
        self.console.print(f"{name:<22} finished after {seconds:.0f} s", highlight=False)

    def skipped(self, name: str) -> None:
        """Say that a stage is done from before."""
        self.console.print(f"{name:<22} finished earlier")


def plan_table(plan: Mapping[str, Decision]) -> Table:
    """What a run would do.

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


def summary_table(summary: dict[str, Any]) -> Table:
    """The closing table of a run; with two metrics and several seeds it still fits 80 columns.

    Args:
        summary: The content of ``summary.json``.

    Returns:
        A table with a row per model; the chosen one is marked. Sizes are in its caption, as all students have the same.
    """
    models, best = summary["models"], summary["best"]
    metrics = [name for name in models[0]["dev"] if name != "score"]
    teacher, student = (_parameters(model) for model in (models[0], best))
    lost = best["achieved"]
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=0,
        title=f"{summary['task']}, seed {summary['seed']}, search {summary['search']}",
        caption="* best on the selection part\n"
        f"teacher: {teacher}\n"
        f"student: {student}\n"
        f"removed: {lost['heads']:.0%} of the heads, {lost['neurons']:.0%} of the neurons",
        caption_justify="left",
    )
    table.add_column("model")
    repeated = len({model["seed"] for model in models} - {None}) > 1
    for header in (
        *(["seed"] if repeated else []),
        "lam",
        "teacher\nsparsity",
        "selection\nscore",
        *(f"dev\n{name}" for name in metrics),
        "seconds",
    ):
        table.add_column(header, justify="right")
    for model in models:
        sparsity, is_best = model["teacher_sparsity"], model["folder"] == best["folder"]
        table.add_row(
            model["name"] + (" *" if is_best else ""),
            *(["" if model["seed"] is None else str(model["seed"])] if repeated else []),
            "" if model["lam"] is None else f"{model['lam']:g}",
            "" if sparsity is None else f"{sparsity:g}",
            f"{model['selection']['score']:.4f}",
            *(f"{model['dev'][name]:.4f}" for name in metrics),
            f"{model['seconds']:.0f}",
            style="bold" if is_best else "",
        )
    return table


def _parameters(model: Mapping[str, Any]) -> str:
    return f"{model['parameters'] / 1e6:.2f} M parameters, {model['encoder_parameters'] / 1e6:.2f} M in the encoder"


def comparison_lines(summary: dict[str, Any]) -> list[str]:
    """What the sparse teacher's student is worth beside the others.

    Args:
        summary: The content of ``summary.json``.

    Returns:
        A line for each method that it is compared with; with one seed it says that the interval is of other rows only.
    """
    scope = "" if len(summary["best_by_method"]) > 1 else " for other rows; one seed says nothing of others"
    return [
        f"{entry['treated']} minus {entry['control']}: {entry['points']['value']:+.2f} points of dev's score "
        f"[{entry['points']['low']:+.2f}, {entry['points']['high']:+.2f}]{scope}"
        for entry in summary["comparisons"]
    ]
