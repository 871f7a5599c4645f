"""What callbacks need to know of the fit that they are in."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from lightning_modules.checkpoints import read_checkpoint

__all__ = ["HasTrial", "best_checkpoints", "has_trial", "load_best", "resumes"]


@runtime_checkable
class HasTrial(Protocol):
    """A callback that makes the first epochs of a fit a trial."""

    trial_epochs: int


def best_checkpoints(trainer: Trainer) -> list[ModelCheckpoint]:
    """The checkpoint callbacks that look for the best score.

    Args:
        trainer: The trainer.

    Returns:
        Those with a monitor; one without knows the latest weights only.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, ModelCheckpoint) and callback.monitor]


def load_best(trainer: Trainer, module: LightningModule) -> bool:
    """Give the module the weights of the best checkpoint so far.

    Args:
        trainer: The trainer.
        module: The module of its fit.

    Returns:
        False, and nothing happens, when no checkpoint was chosen yet.
    """
    path = next((callback.best_model_path for callback in best_checkpoints(trainer) if callback.best_model_path), None)
    if path is None:
        return False
    module.load_state_dict(read_checkpoint(Path(path))["state_dict"])
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
    """Whether the fit that is being set up continues a checkpoint; `setup` is the last hook that may change shapes.

    ``trainer.fit(..., ckpt_path=...)`` tells nobody before `setup` is over, but a path given by ``trainer.ckpt_path =
    ...`` is known at once; the command line and the pipeline give it that way. Without it a callback that shapes the
    model does its work once more, and the checkpoint's shape then replaces the result: slower, not wrong.

    Args:
        trainer: The trainer.

    Returns:
        True when the path of a checkpoint is known.
    """
    return trainer.ckpt_path is not None
