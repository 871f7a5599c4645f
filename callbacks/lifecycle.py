"""Facts about the running fit that callbacks need."""

from __future__ import annotations

import sys
from copy import deepcopy
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from lightning_modules.base import ClassificationModule
from lightning_modules.checkpoints import read_checkpoint

__all__ = ["HasTrial", "HeldChoice", "best_checkpoints", "early_stopping", "has_trial", "load_best", "resumes"]


@runtime_checkable
class HasTrial(Protocol):
    """A callback that uses the first epochs of a fit as the trial distillation."""

    trial_epochs: int


def best_checkpoints(trainer: Trainer) -> list[ModelCheckpoint]:
    """The checkpoint callbacks that keep the checkpoint with the best score.

    Args:
        trainer: The trainer.

    Returns:
        Those with a monitor; a checkpoint callback without a monitor keeps only the latest weights.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, ModelCheckpoint) and callback.monitor]


def early_stopping(trainer: Trainer) -> list[EarlyStopping]:
    """The callbacks that may end a fit because its score no longer gets better.

    Args:
        trainer: The trainer.

    Returns:
        The callbacks.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, EarlyStopping)]


class HeldChoice:
    """Holds back the choice of the best epoch while the model is not yet what the fit is to give.

    Meanwhile no checkpoint counts as the best one, and early stopping waits; when it is released, both begin anew.
    """

    def __init__(self) -> None:
        """Start without knowing the trainer."""
        self._save_top_k: dict[str, int] = {}
        self._stopping: dict[str, dict[str, Any]] = {}

    def remember(self, trainer: Trainer) -> None:
        """Keep the settings of a trainer's callbacks; call it in ``setup``, before a checkpoint's state is loaded.

        Args:
            trainer: The trainer.
        """
        # After a fit that ended while the choice was held, a callback still has the values that hold it.
        for tracker in best_checkpoints(trainer):
            if tracker.save_top_k or tracker.state_key not in self._save_top_k:
                self._save_top_k[tracker.state_key] = tracker.save_top_k
        for stopping in early_stopping(trainer):
            if stopping.patience < sys.maxsize or stopping.state_key not in self._stopping:
                self._stopping[stopping.state_key] = deepcopy(stopping.state_dict())

    def hold(self, trainer: Trainer) -> None:
        """Hold the choice back.

        Args:
            trainer: The trainer.
        """
        for tracker in best_checkpoints(trainer):
            tracker.save_top_k = 0
        for stopping in early_stopping(trainer):
            stopping.patience = sys.maxsize

    def release(self, trainer: Trainer) -> None:
        """Let the next validation be the first one that counts.

        Args:
            trainer: The trainer.
        """
        for tracker in best_checkpoints(trainer):
            tracker.save_top_k = self._save_top_k[tracker.state_key]
        for stopping in early_stopping(trainer):
            stopping.load_state_dict(deepcopy(self._stopping[stopping.state_key]))


def load_best(trainer: Trainer, module: LightningModule) -> bool:
    """Give the module the weights of the best checkpoint so far.

    Args:
        trainer: The trainer.
        module: The module of its fit.

    Returns:
        False if there is no best checkpoint yet; then the weights are not changed.
    """
    path = next((callback.best_model_path for callback in best_checkpoints(trainer) if callback.best_model_path), None)
    if path is None:
        return False
    checkpoint = read_checkpoint(Path(path))
    module.load_state_dict(checkpoint["state_dict"])
    if isinstance(module, ClassificationModule):
        module.take_tuned(checkpoint)
    return True


def has_trial(trainer: Trainer) -> bool:
    """Whether the fit starts with a trial distillation.

    Args:
        trainer: The trainer.

    Returns:
        True when one of its callbacks is a `HasTrial`.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return any(isinstance(callback, HasTrial) for callback in callbacks)


def resumes(trainer: Trainer) -> bool:
    """Whether the fit that is being set up resumes from a checkpoint.

    `setup` is the last hook that may change shapes. A path given by ``trainer.fit(..., ckpt_path=...)`` is not known
    before `setup` is over, but a path given by ``trainer.ckpt_path = ...`` is known at once; the command line and the
    pipeline give it that way. If the path is not known, a callback that changes the model's shape does its work again,
    and the checkpoint's shape then replaces the result: this is slower, but not wrong.

    Args:
        trainer: The trainer.

    Returns:
        True when the path of a checkpoint is known.
    """
    return trainer.ckpt_path is not None
