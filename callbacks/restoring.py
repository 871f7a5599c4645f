"""A sparse teacher whose units come back while its student learns."""

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
    """Distils from the sparse teacher at first, and restores its mask epoch by epoch until it is dense.

    What it removes in an epoch is `restored_sparsity` of its units, always those of the lowest score. At each epoch the
    teacher's outputs for all rows are computed in one pass.

    Lifecycle: at the first batch of an epoch. The module's teacher is the dense one, and masked, not cut; a resumed fit
    asks it again and gets the same bits.

    Args:
        scores: File of the dense teacher's scores.
        lam: Weight of expressiveness against friendliness, in [0, 1]; null where a `score` is given.
        sparsity: Fraction, in [0, 1), that is missing in the first epoch.
        score: What units are ranked by, in the place of lam's `Knowledgeableness`.
        budget: Of what the sparsity is a fraction; null for `Units`.

    Raises:
        StarkTypeError: If the module has no teacher.
        StarkError: If sparsity or lam is out of range, the scores are of another teacher, or the fit has no number of
            epochs.

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
        """Check that there is a teacher, and an end."""
        if stage != "fit":
            return
        if not isinstance(pl_module, DistillationModule):
            raise StarkTypeError(f"TeacherRestoring needs a DistillationModule, {type(pl_module).__name__} is none")
        if trainer.max_epochs is None or trainer.max_epochs < 1:
            raise StarkError("TeacherRestoring needs trainer.max_epochs, over which the teacher is restored")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget an earlier fit."""
        self._asked_in = None

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ANN401 - Lightning's signature
        batch_idx: int,
    ) -> None:
        """Ask the teacher of this epoch."""
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
