"""What a callback can know of the fit in `setup`, the last hook that may change a model's shape."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pytorch_lightning import Callback, Trainer

__all__ = ["HasTrial", "has_trial", "resumes"]


@runtime_checkable
class HasTrial(Protocol):
    """A callback that makes the first epochs of a fit a trial."""

    trial_epochs: int


def has_trial(trainer: Trainer) -> bool:
    """Whether the fit starts with a trial distillation.

    Args:
        trainer: The trainer.

    Returns:
        True when one of its callbacks is a :class:`HasTrial`.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return any(isinstance(callback, HasTrial) for callback in callbacks)


def resumes(trainer: Trainer) -> bool:
    """Whether the fit that is being set up continues a checkpoint.

    ``trainer.fit(..., ckpt_path=...)`` tells nobody before `setup` is over, but a path given by ``trainer.ckpt_path =
    ...`` is known at once; the command line and the pipeline give it that way. Without it a callback that shapes the
    model does its work once more, and the checkpoint's shape then replaces the result: slower, not wrong.

    Args:
        trainer: The trainer.

    Returns:
        True when the path of a checkpoint is known.
    """
    return trainer.ckpt_path is not None
