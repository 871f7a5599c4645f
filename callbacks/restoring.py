"""Teacher restoring: a sparse teacher becomes dense again, epoch by epoch, while its student is distilled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from callbacks.scoring import scoring_batches
from lightning_modules.distillation import DistillationModule
from lightning_modules.teacher_outputs import ask_teacher
from stark.budgets.budget import Budget
from stark.budgets.sparsity import check_sparsity
from stark.encoders.masking import unit_masks
from stark.errors import StarkError, StarkTypeError
from stark.pruning import choose_units
from stark.schedules.restoring import restored_sparsity
from stark.scores.knowledgeableness import score_or_lam
from stark.scores.score import Score

__all__ = ["TeacherRestoring"]


class TeacherRestoring(Callback):
    """Distils from the sparse teacher at first, and restores its units epoch by epoch until it is dense.

    In each epoch it masks the units with the lowest scores; `restored_sparsity` gives their fraction. The teacher's
    outputs for all rows are computed in one pass per epoch.

    Lifecycle: runs at the first batch of each epoch. The module's teacher is the dense one; its units are masked, not
    cut. A resumed fit computes the outputs again and gets the same bits.

    Args:
        scores: File of the dense teacher's scores.
        lam: Weight of expressiveness against friendliness, in [0, 1]; null if a `score` is given.
        sparsity: Fraction that is masked in the first epoch, in [0, 1).
        score: Score by which units are ranked, instead of `Knowledgeableness` with lam.
        budget: Budget, which defines what the sparsity is a fraction of; null means `Units`.

    Raises:
        StarkTypeError: If the module has no teacher.
        StarkError: If sparsity or lam is out of range, the scores belong to another teacher, ``trainer.max_epochs`` is
            not set, or the loss compares queries, keys or values.

    Examples:
        ```yaml
        trainer:
          callbacks+:
            class_path: callbacks.TeacherRestoring
            init_args: {scores: runs/sparsify/teacher_scores.safetensors, lam: 0.5, sparsity: 0.3}
        ```
    """

    def __init__(
        self,
        scores: str,
        lam: float | None,
        sparsity: float,
        score: Score | None = None,
        budget: Budget | None = None,
    ) -> None:
        """Check the settings."""
        self.score = score_or_lam(score, lam)
        self.budget = budget
        self.scores = scores
        self.sparsity = check_sparsity(sparsity)
        self._asked_in: int | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that the module has a teacher, and the fit a number of epochs."""
        if stage != "fit":
            return
        if not isinstance(pl_module, DistillationModule):
            raise StarkTypeError(f"TeacherRestoring needs a DistillationModule, got {type(pl_module).__name__}")
        if trainer.max_epochs is None or trainer.max_epochs < 1:
            raise StarkError("TeacherRestoring needs trainer.max_epochs, over which the teacher is restored")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the loss, which is prepared now, and discard the state of an earlier fit."""
        assert isinstance(pl_module, DistillationModule)  # checked in setup
        if pl_module.loss.teacher_projections:
            raise StarkError(
                "TeacherRestoring stores the teacher's outputs once per epoch, and these are not the queries, keys and "
                "values that the loss compares: choose another loss, or distil without teacher restoring"
            )
        self._asked_in = None

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ANN401 - Lightning's signature
        batch_idx: int,
    ) -> None:
        """Compute the outputs of this epoch's teacher."""
        epoch = trainer.current_epoch
        if epoch == self._asked_in:
            return
        assert isinstance(pl_module, DistillationModule)  # checked in setup
        assert trainer.max_epochs is not None
        teacher, device = pl_module.teacher, pl_module.device
        scores = self.score.read(Path(self.scores), teacher)
        sparsity = restored_sparsity(self.sparsity, epoch, trainer.max_epochs)
        masks = choose_units(teacher, self.score, scores, sparsity, self.budget).to(device, teacher.dtype)
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by the data connector
        batches = scoring_batches(data, "train", "example", device)
        with trainer.precision_plugin.val_step_context(), unit_masks(nn.Module.to(teacher, device), masks):
            outputs = ask_teacher(teacher, batches, f"restored to {sparsity:g}", pl_module.loss.teacher_layers)
        pl_module.teacher_outputs = outputs.to(device)
        self._asked_in = epoch
