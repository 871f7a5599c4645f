"""Rewinding: after the trial the student goes back to its initial weights and is distilled again."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from callbacks.lifecycle import best_checkpoints, early_stopping, load_best
from callbacks.sparsification import TeacherSparsification
from lightning_modules.base import ClassificationModule
from lightning_modules.distillation import DistillationModule
from stark.errors import StarkError, StarkTypeError

__all__ = ["Rewinding"]


class Rewinding(Callback):
    """Splits a fit into trial distillation and actual distillation.

    When the trial's epochs are over, the module gets the best trial weights, and a `TeacherSparsification` in the same
    fit sparsifies the teacher against them. Then the student gets its initial weights back, with a new optimizer and
    schedule and new random numbers, and with early stopping and best-checkpoint tracking reset. ``trainer.max_epochs``
    counts both phases.

    Lifecycle: ``on_fit_start`` keeps the initial weights (after pruning, before training); ``on_train_epoch_start`` of
    the first epoch after the trial rewinds; ``state_dict`` carries the initial weights, so that a resumed fit can still
    go back to them. The order in which callbacks are listed does not matter.

    Source: the paper's rewinding; GeneZC/StarK `run_rewinding.py`.

    Args:
        trial_epochs: Epochs of the trial distillation; the actual one has the rest of ``trainer.max_epochs``. The
            trial always runs all of its epochs: early stopping is ignored until it is over.

    Raises:
        StarkError: If trial_epochs is below 1, or does not fit the trainer's epochs.

    Examples:
        ```yaml
        trainer:
          max_epochs: 10
          min_epochs: 6
          callbacks+:
            class_path: callbacks.Rewinding
            init_args: {trial_epochs: 5}
        ```
    """

    def __init__(self, trial_epochs: int) -> None:
        """Check the settings."""
        if trial_epochs < 1:
            raise StarkError(f"trial_epochs is {trial_epochs}: give at least 1")
        self.trial_epochs = trial_epochs
        self.rewound = False
        self._initial_student: dict[str, Tensor] | None = None
        self._initial_loss: dict[str, Tensor] = {}
        self._initial_trackers: dict[str, dict[str, Any]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that both phases fit into the trainer's epochs, and set the end of the trial."""
        if stage != "fit":
            return
        if not isinstance(pl_module, ClassificationModule):
            raise StarkTypeError(f"Rewinding needs a ClassificationModule, got {type(pl_module).__name__}")
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # it has no trial to rewind from
            return
        if trainer.max_steps >= 0:
            raise StarkError(
                f"trainer.max_steps is {trainer.max_steps}: Rewinding counts its two phases in epochs, so give "
                "trainer.max_epochs alone"
            )
        if not trainer.max_epochs or trainer.max_epochs <= self.trial_epochs:
            raise StarkError(
                f"trainer.max_epochs is {trainer.max_epochs} and trial_epochs {self.trial_epochs}: max_epochs counts "
                "both phases, so give more than trial_epochs"
            )
        if early_stopping(trainer) and (trainer.min_epochs or 0) <= self.trial_epochs:
            raise StarkError(
                f"trainer.min_epochs is {trainer.min_epochs} and trial_epochs {self.trial_epochs}: early stopping in "
                f"the trial would end the whole fit, so set trainer.min_epochs to {self.trial_epochs + 1} or more"
            )
        if not best_checkpoints(trainer):
            raise StarkError(
                "Rewinding reads the best checkpoint of the trial: add a ModelCheckpoint with monitor: "
                "val/score, mode: max"
            )
        pl_module.phase = (0, self.trial_epochs)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the initial state for rewinding; a resumed fit gets it from its checkpoint."""
        if self._initial_student is None:
            self._initial_student = _copied(_classifier(pl_module))
            if isinstance(pl_module, DistillationModule):
                self._initial_loss = _copied(pl_module.loss)
            self._initial_trackers = {
                tracker.state_key: deepcopy(tracker.state_dict()) for tracker in _trackers(trainer)
            }

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Rewind a fit that resumes after the trial's last batch, where `on_train_epoch_start` is not called."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Rewind at the first epoch after the trial."""
        if not self.rewound and trainer.current_epoch >= self.trial_epochs:
            self._rewind(trainer, pl_module)

    def _rewind(self, trainer: Trainer, module: LightningModule) -> None:
        rank_zero_info("Rewinding: the trial is over, the actual distillation starts from the initial student")
        if not load_best(trainer, module):
            raise StarkError("Rewinding found no best checkpoint of the trial: let every epoch validate")
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, TeacherSparsification):
                callback.sparsify(trainer, module)  # type: ignore[arg-type]  # checked in its setup
        assert self._initial_student is not None
        _classifier(module).load_state_dict(self._initial_student)
        if isinstance(module, DistillationModule):
            module.loss.load_state_dict(self._initial_loss)
        for tracker in _trackers(trainer):
            state = deepcopy(self._initial_trackers[tracker.state_key])
            if isinstance(tracker, ModelCheckpoint):
                state["dirpath"] = tracker.dirpath  # the run folder may have moved since
                state["last_model_path"] = tracker.last_model_path  # last.ckpt stays one file over both phases
            tracker.load_state_dict(state)
        trainer.should_stop = False
        module.start_phase(trainer.current_epoch, None)  # type: ignore[operator]
        trainer.strategy.setup_optimizers(trainer)
        self.rewound = True

    def state_dict(self) -> dict[str, Any]:
        """The initial weights and trackers, and whether the trial is over."""
        return {
            "rewound": self.rewound,
            "initial_student": self._initial_student,
            "initial_loss": self._initial_loss,
            "initial_trackers": self._initial_trackers,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from `state_dict`."""
        self.rewound = state_dict["rewound"]
        self._initial_student = state_dict["initial_student"]
        # Checkpoints of earlier versions have no such entry, because no loss had parameters then.
        self._initial_loss = state_dict.get("initial_loss", {})
        self._initial_trackers = state_dict["initial_trackers"]


def _trackers(trainer: Trainer) -> list[EarlyStopping | ModelCheckpoint]:
    return [*early_stopping(trainer), *best_checkpoints(trainer)]


def _copied(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}


def _classifier(module: LightningModule) -> torch.nn.Module:
    assert isinstance(module, ClassificationModule)  # checked in setup
    return module.classifier
