"""Pausing: a fit ends early, with a checkpoint from which it can be resumed exactly."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer

from stark.errors import StarkError

__all__ = ["Pause", "Paused"]


class Paused(BaseException):
    """A fit has reached its pause; like KeyboardInterrupt, it is not caught by ``except Exception``."""


class Pause(Callback):
    """Ends a fit after some of its epochs; successive halving then compares scores and resumes some of the fits.

    Unlike a smaller ``max_epochs``, it does not change the learning-rate schedule: resuming from
    ``checkpoints/last.ckpt`` without this callback gives the same weights, bit for bit, as a fit that was never paused.
    The command line ends normally; no model folder is written.

    Lifecycle: ``on_train_epoch_start`` of the next epoch raises `Paused`, after the validation of the last epoch has
    written its checkpoint. A fit that ends earlier, by early stopping, ends as usual.

    Args:
        epochs: Number of epochs before the pause.

    Raises:
        StarkError: If epochs is below 1.

    Examples:
        ```yaml
        trainer:
          callbacks+:
            class_path: callbacks.Pause
            init_args: {epochs: 2}
        ```
    """

    def __init__(self, epochs: int) -> None:
        """Check the setting."""
        if epochs < 1:
            raise StarkError(f"epochs is {epochs}: pause after at least 1")
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pause before the first epoch that is not to be trained."""
        if trainer.current_epoch >= self.epochs:
            raise Paused
