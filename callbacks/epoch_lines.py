"""Epoch lines: a line of text after each epoch, for logs in which no progress bar can move."""

from __future__ import annotations

import math
import sys
import time

from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.averaging import AveragedWeights
from callbacks.gradual import GradualPruning
from lightning_modules import ClassificationModule

__all__ = ["EpochLines", "best_so_far", "best_with", "duration_text", "score_text"]


class EpochLines(Callback):
    """Prints a line after each epoch, where standard output is no terminal.

    The line has the score of the last validation and, if the best epoch is kept, the best one, the latest training
    loss, the seconds of the epoch, and the time that the remaining epochs take at the same speed; early stopping may
    end the fit before.

    Lifecycle: ``on_train_start`` and ``on_train_epoch_start`` take the time; ``on_train_epoch_end``, which comes after
    the epoch's validation, prints. Only process 0 prints.

    Examples:
        ```yaml
        trainer:
          enable_progress_bar: false
          callbacks+: {class_path: callbacks.EpochLines}
        ```
    """

    def __init__(self) -> None:
        """Start without a score."""
        self._best = -math.inf
        self._begun = self._epoch_begun = 0.0
        self._first_batch = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when and at which batch the fit starts; a resumed fit starts in the middle."""
        self._begun = self._epoch_begun = time.monotonic()
        self._first_batch = trainer.fit_loop.epoch_loop.total_batch_idx + 1
        self._best = best_so_far(pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when the epoch starts."""
        self._epoch_begun = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line."""
        done = trainer.fit_loop.epoch_loop.total_batch_idx + 1
        if done == self._first_batch:
            return  # resumed at the end of this epoch, whose line was printed before
        now, found = time.monotonic(), trainer.callback_metrics
        parts = []
        if (score := found.get("val/score")) is not None:
            self._best = best_with(trainer, float(score), self._best)
            parts.append(score_text(trainer, float(score), self._best))
        if (loss := found.get("train/loss")) is not None:
            parts.append(f"loss {float(loss):.4f}")
        parts.append(duration_text(now - self._epoch_begun))
        total = trainer.num_training_batches * (trainer.max_epochs or 0)
        left = max(0.0, total - done) * (now - self._begun) / (done - self._first_batch)
        if trainer.is_global_zero:
            line = f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: {', '.join(parts)}"
            self.write(trainer, line, left)

    def write(self, trainer: Trainer, line: str, left: float) -> None:
        """Write a line; subclasses may add to it.

        Args:
            trainer: The fit's trainer.
            line: The line.
            left: Seconds that the fit still takes at most; 0 after its last epoch.
        """
        rest = f"; at most {duration_text(left)} left" if left else ""
        if not sys.stdout.isatty():
            # In one piece, so that lines of several processes do not mix.
            print(f"{line}{rest}\n", end="", flush=True)


def best_so_far(module: LightningModule) -> float:
    """The best score that a resumed fit had before; minus infinity for a new one.

    Args:
        module: The fit's module, after its checkpoint was loaded.
    """
    scores = module.val_scores if isinstance(module, ClassificationModule) else []
    return max((score for _, score in scores if not math.isnan(score)), default=-math.inf)


def best_with(trainer: Trainer, score: float, best: float) -> float:
    """The best score after one more validation.

    Args:
        trainer: The fit's trainer; before the last cut of `GradualPruning` no score counts.
        score: The score of the last validation.
        best: The best score before it.
    """
    return max(best, score) if _cuts_to_come(trainer) is None else -math.inf


def _cuts_to_come(trainer: Trainer) -> GradualPruning | None:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    found = (callback for callback in callbacks if isinstance(callback, GradualPruning))
    return next((callback for callback in found if callback.done < callback.cuts), None)


def score_text(trainer: Trainer, score: float, best: float) -> str:
    """The score of the last validation, and the best one if its epoch is the one that is kept.

    Args:
        trainer: The fit's trainer; with `AveragedWeights` no epoch is chosen.
        score: The score of the last validation.
        best: The best score so far.

    Returns:
        ``score 0.8000, best 0.9000``, ``score 0.8000``, or ``score 0.8000, averaged`` for averaged weights. Before the
        last cut of `GradualPruning`, ``score 0.8000, 2 of 8 cuts``.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    if (gradual := _cuts_to_come(trainer)) is not None:
        return f"score {score:.4f}, {gradual.done} of {gradual.cuts} cuts"
    averaged = next((callback for callback in callbacks if isinstance(callback, AveragedWeights)), None)
    if averaged is None:
        return f"score {score:.4f}, best {best:.4f}"
    return f"score {score:.4f}{', averaged' if averaged.is_done else ''}"


def duration_text(seconds: float) -> str:
    """A duration as text, rounded to what a reader needs.

    Args:
        seconds: The duration in seconds.

    Examples:
        >>> [duration_text(seconds) for seconds in (0.24, 8.6, 89, 200, 3600 * 2.5)]
        ['0.2 s', '9 s', '89 s', '3 min', '2 h 30 min']
    """
    if seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
