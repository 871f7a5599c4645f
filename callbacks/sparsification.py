"""Teacher sparsification: removes teacher units that are neither expressive nor friendly to the student."""

from __future__ import annotations

import copy
from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_info
from torch import nn

from callbacks.layer_dropping import LayerDropping
from callbacks.lifecycle import has_trial, resumes
from callbacks.pruning import Pruning
from callbacks.refitting import refit_on_train_
from callbacks.saving import inputs_of
from callbacks.scoring import scoring_batches
from lightning_modules.distillation import DistillationModule
from stark.budgets.budget import Budget
from stark.budgets.sparsity import achieved_sparsity, check_sparsity
from stark.choices import ScoreReduction, ScoringSplit
from stark.errors import StarkError, StarkTypeError
from stark.model_folders.model_folder import save_classifier
from stark.model_folders.model_inputs import ModelInputs
from stark.pruning import choose_units
from stark.refitting import check_refit, output_projections
from stark.scores.knowledgeableness import score_or_lam
from stark.scores.score import Distilled, Score
from stark.scores.scoring import score_units
from stark.scores.unit_scores import UnitScores

__all__ = ["TeacherSparsification"]


class TeacherSparsification(Callback):
    """Scores the dense teacher against the trial student and shrinks it to a sparsity.

    Lifecycle: with `Rewinding` in the same fit, `sparsify` runs when the trial ends.
    Without `Rewinding`, ``setup`` runs it before training; then the module's student must already be distilled. A
    resumed fit gets the sparse teacher from its checkpoint and computes no scores. Two outputs are written under
    ``trainer.default_root_dir``: ``teacher_scores.safetensors`` (the parts of the score, raw and normalised) and
    ``teacher/`` (the sparse teacher's model folder).

    Source: the paper's section 3.2; GeneZC/StarK `run_sparsification.py`.

    Args:
        lam: Weight of expressiveness against friendliness, in [0, 1]; null if a `score` is given.
        sparsity: Fraction of heads and of neurons to remove, in [0, 1). With a budget, fraction of what it counts.
        split: The data to score on: ``selection``, ``validation`` (the released protocol) or ``train``.
        reduction: ``example``, or ``batch`` for the released code's scores.
        scores: File with scores of the same teacher from an earlier fit, to use another sparsity or lam without scoring
            again.
        score: Score by which units are ranked, instead of `Knowledgeableness` with lam.
        budget: Budget, which defines what the sparsity is a fraction of; null means `Units`.
        refit: Whether the output projections are then solved on rows of train, see `refit_`.

    Raises:
        StarkError: If sparsity or lam is out of range, or not exactly one of lam and score is given.

    Examples:
        ```yaml
        trainer:
          callbacks+:
            class_path: callbacks.TeacherSparsification
            init_args: {lam: 0.5, sparsity: 0.2}
        ```
    """

    def __init__(
        self,
        lam: float | None,
        sparsity: float,
        split: ScoringSplit = "selection",
        reduction: ScoreReduction = "example",
        scores: str | None = None,
        score: Score | None = None,
        budget: Budget | None = None,
        refit: bool = False,
    ) -> None:
        """Check the settings."""
        self.score = score_or_lam(score, lam)
        self.sparsity = check_sparsity(sparsity)
        self.budget = budget
        self.refit = refit
        self.split: ScoringSplit = split
        self.reduction: ScoreReduction = reduction
        self.scores = scores

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Sparsify at once if this fit has no trial."""
        if stage != "fit":
            return
        if not isinstance(pl_module, DistillationModule):
            raise StarkTypeError(f"TeacherSparsification needs a DistillationModule, got {type(pl_module).__name__}")
        if self.refit:
            check_refit(pl_module.teacher)
        if has_trial(trainer):
            return
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        if any(isinstance(callback, (Pruning, LayerDropping)) for callback in callbacks):
            raise StarkError(
                "TeacherSparsification needs a distilled student, but the student of this fit is pruned and not yet "
                "distilled: add callbacks.Rewinding for a trial distillation, or give a distilled student and no "
                "pruning"
            )
        if not resumes(trainer):
            self.sparsify(trainer, pl_module)

    def sparsify(self, trainer: Trainer, module: DistillationModule) -> None:
        """Score the teacher against the module's current student, and shrink the teacher.

        Args:
            trainer: The trainer; its data module gives the batches.
            module: The module; its teacher is replaced.
        """
        scores = self._score(trainer, module)
        masks = choose_units(module.teacher, self.score, scores, self.sparsity, self.budget)
        rank_zero_info(
            f"TeacherSparsification: requested sparsity {self.sparsity:g} by {self.score}; heads "
            f"{achieved_sparsity(masks.heads):.3f}, neurons {achieved_sparsity(masks.neurons):.3f}"
        )
        dense = copy.deepcopy(module.teacher) if self.refit else None
        module.shrink_teacher(masks)
        if dense is not None:
            data = trainer.datamodule  # type: ignore[attr-defined]  # set by the data connector
            refit_on_train_(module.teacher, dense, data, trainer.strategy.root_device)
            module.keep_refitted(output_projections(module.teacher))
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir)
            scores.save(folder / "teacher_scores.safetensors")
            # A teacher that was trained by this project keeps its own input settings.
            inputs = None if ModelInputs.read(module.teacher.config) else inputs_of(trainer, module)
            save_classifier(module.teacher, folder / "teacher", module.tokenizer, inputs)

    def _score(self, trainer: Trainer, module: DistillationModule) -> UnitScores:
        if self.scores is not None:
            return self.score.read(Path(self.scores), module.teacher)
        device = trainer.strategy.root_device
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by the data connector
        self.score.check(module.loss)
        if self.score.needs_student:
            module.prepare_loss()  # in a fit without a trial, Lightning sets the module up only after the callbacks
        return score_units(
            nn.Module.to(module.teacher, device),
            scoring_batches(data, self.split, self.reduction, device),
            [self.score],
            Distilled(nn.Module.to(module.student, device), module.loss),
            self.reduction,
            problem=module.train_problem,
        )
