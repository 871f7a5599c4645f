"""Finite loss: ends a fit whose loss becomes NaN or infinite, and names the rows."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from stark.errors import StarkError

__all__ = ["FiniteLoss", "NonFiniteLossError"]

_ROWS_NAMED = 64


class NonFiniteLossError(StarkError):
    """The loss became NaN or infinite."""


class FiniteLoss(Callback):
    """Ends a fit whose loss became NaN or infinite, and names the steps and rows; no checkpoint is written after it.

    At each batch, a flag on the device records whether the loss is finite. The flags are read when the window is full,
    before validation and before any checkpoint is written. So there is no device synchronisation at each step, and the
    last checkpoint was written before the loss became NaN or infinite.

    Args:
        window: Number of batches after which the flags are read.

    Raises:
        StarkError: If window is below 1.

    Examples:
        ```yaml
        trainer:
          callbacks+:
            class_path: callbacks.FiniteLoss
            init_args: {window: 50}
        ```
    """

    def __init__(self, window: int = 50) -> None:
        """Check the settings."""
        if window < 1:
            raise StarkError(f"window is {window}: give a number of batches, at least 1")
        self.window = window
        self._finite: Tensor | None = None
        self._seen: list[tuple[int, Any]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Discard the flags of an earlier fit."""
        self._seen = []

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401 - Lightning's signature
        batch: Any,  # noqa: ANN401
        batch_idx: int,
    ) -> None:
        """Record whether the loss is finite, and the rows of the batch."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if not isinstance(loss, Tensor):
            return
        if self._finite is None or self._finite.device != loss.device:
            self._finite = torch.ones(self.window, dtype=torch.bool, device=loss.device)
        self._finite[len(self._seen)] = torch.isfinite(loss.detach())
        self._seen.append((trainer.global_step, batch.get("idx") if isinstance(batch, dict) else None))
        if len(self._seen) == self.window:
            self._look(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check before weights are evaluated."""
        self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check at the end of an epoch."""
        self._look(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Check before weights are saved."""
        self._look(trainer)

    def _look(self, trainer: Trainer) -> None:
        """Check the losses of the window so far, and begin a new window.

        Raises:
            NonFiniteLossError: If a loss of any process is NaN or infinite; raised in every process.
        """
        seen, self._seen = self._seen, []
        finite = [] if self._finite is None else self._finite[: len(seen)].tolist()
        message = _describe(seen, finite)
        if trainer.world_size > 1 and not trainer.strategy.reduce_boolean_decision(message is None):
            messages: list[str | None] = [None] * trainer.world_size
            torch.distributed.all_gather_object(messages, message)
            message = next(text for text in messages if text)
        if message:
            raise NonFiniteLossError(message)


def _describe(seen: list[tuple[int, Any]], finite: list[bool]) -> str | None:
    bad = [(step, idx) for (step, idx), good in zip(seen, finite, strict=True) if not good]
    if not bad:
        return None
    (first, idx), steps = bad[0], sorted({step for step, _ in bad})
    rows = [] if idx is None else [str(row) for row in idx.tolist()]
    named = ", ".join(rows[:_ROWS_NAMED]) + (", ..." if len(rows) > _ROWS_NAMED else "") or "unknown"
    listed = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]} ({len(bad)} batches)"
    return (
        f"the loss became NaN or infinite at step {listed}, in the window of steps {seen[0][0]} to {seen[-1][0]}; rows "
        f"(idx) of the first such batch, of step {first}: {named}. Lower the learning rate, train in 32-true or "
        "bf16-mixed instead of 16-mixed, or look at these rows; the last checkpoint is from before it"
    )
