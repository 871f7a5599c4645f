"""Pausing: a fit ends early with a checkpoint from which it can go on as if it never had."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer

from stark.errors import StarkError

__all__ = ["Pause", "Paused"]


class Paused(BaseException):
    """A fit has come to where it pauses; like KeyboardInterrupt it passes by every ``except Exception``."""


class Pause(Callback):
    """Ends a fit after some of its epochs; successive halving looks at the scores and goes on with some of them.

    Unlike a smaller ``max_epochs`` it leaves the schedule as it is: going on from ``checkpoints/last.ckpt`` without
    this callback gives the same weights, bit for bit, as a fit that was never paused. The command line ends normally;
    no model folder is written.

    Lifecycle: ``on_train_epoch_start`` of the epoch after raises `Paused`, when the validation of the epoch
    before has left its checkpoint. A fit that ends before, by early stopping, ends as ever.

    Args:
        epochs: How many are trained.

    Raises:
        StarkError: If that is not at least 1.

    Examples:
        ```yaml
        trainer:
          callbacks+:
            class_path: callbacks.Pause
            init_args: {epochs: 2}
        ```
    """

    def __init__(self, epochs: int) -> None:
        """Check the number."""
        if epochs < 1:
            raise StarkError(f"epochs is {epochs}: pause after at least 1")
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pause before the epoch that is one too many."""
        if trainer.current_epoch >= self.epochs:
            raise Paused
