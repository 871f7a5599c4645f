"""Pruning: removes the student's heads and neurons with the lowest scores before training starts."""

from __future__ import annotations

import copy
from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_info
from torch import nn

from callbacks.lifecycle import resumes
from callbacks.refitting import refit_on_train_
from callbacks.scoring import scoring_batches
from lightning_modules.base import ClassificationModule
from stark.budgets.budget import Budget
from stark.budgets.sparsity import check_sparsity
from stark.choices import ScoreReduction, ScoringSplit
from stark.encoders.layers import kept_units
from stark.encoders.units import KeptUnits
from stark.errors import StarkTypeError
from stark.pruning import prune_
from stark.refitting import check_refit
from stark.scores.expressiveness import Expressiveness
from stark.scores.score import Score, check_score
from stark.scores.scoring import score_units
from stark.scores.unit_scores import UnitScores

__all__ = ["Pruning", "log_pruning", "removed_text"]


class Pruning(Callback):
    """Scores the trained classifier and shrinks it to a sparsity before training starts.

    Lifecycle: ``setup`` scores (or reads scores) and shrinks, because later the optimizer and DDP refer to the weights.
    A resumed fit gets the shrunk shape from its checkpoint and computes no scores. The scores are written to
    ``student_scores.safetensors`` under ``trainer.default_root_dir``.

    Source: the paper's parameter-pruned students; GeneZC/StarK `run_pruning.py`.

    Args:
        sparsity: Fraction of heads and of neurons to remove, in [0, 1). With a budget, fraction of what it counts.
        split: The data to score on: ``selection``, ``validation`` (the released protocol) or ``train``.
        reduction: ``example``, or ``batch`` for the released code's scores.
        round_to: Number of which each layer's kept neurons are a multiple, because matrix products of other widths are
            slow for their number of operations; 1 gives exactly the requested sparsity.
        scores: File with scores of the same model from an earlier fit, to cut another sparsity without scoring again.
        score: Score by which units are ranked; null means `Expressiveness`.
        budget: Budget, which defines what the sparsity is a fraction of; null means `Units`.
        refit: Whether the output projections are then solved on rows of train, see `refit_`.

    Raises:
        StarkError: If the sparsity lies outside [0, 1), or the score compares with a student.

    Examples:
        ```yaml
        trainer:
          callbacks+:
            class_path: callbacks.Pruning
            init_args: {sparsity: 0.7}
        ```
    """

    def __init__(
        self,
        sparsity: float,
        split: ScoringSplit = "selection",
        reduction: ScoreReduction = "example",
        round_to: int = 8,
        scores: str | None = None,
        score: Score | None = None,
        budget: Budget | None = None,
        refit: bool = False,
    ) -> None:
        """Check the settings."""
        self.sparsity = check_sparsity(sparsity)
        self.split: ScoringSplit = split
        self.reduction: ScoreReduction = reduction
        self.round_to = round_to
        self.scores = scores
        self.score = check_score(score or Expressiveness(), "Pruning.score")
        self.budget = budget
        self.refit = refit

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Shrink the classifier of a fresh fit."""
        if stage != "fit" or resumes(trainer):
            return
        if not isinstance(pl_module, ClassificationModule):
            raise StarkTypeError(f"Pruning needs a ClassificationModule, got {type(pl_module).__name__}")
        if self.refit:
            check_refit(pl_module.classifier)
        scores = self._score(trainer, pl_module)
        before = kept_units(pl_module.classifier)
        dense = copy.deepcopy(pl_module.classifier) if self.refit else None
        pl_module.classifier = prune_(
            pl_module.classifier, self.score, scores, self.sparsity, self.budget, self.round_to
        )
        log_pruning(before, kept_units(pl_module.classifier), self.sparsity)
        if dense is not None:
            data = trainer.datamodule  # type: ignore[attr-defined]  # set by the data connector
            refit_on_train_(pl_module.classifier, dense, data, trainer.strategy.root_device)

    def _score(self, trainer: Trainer, module: ClassificationModule) -> UnitScores:
        if self.scores is not None:
            return self.score.read(Path(self.scores), module.classifier)
        device = trainer.strategy.root_device
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by the data connector
        scores = score_units(
            nn.Module.to(module.classifier, device),
            scoring_batches(data, self.split, self.reduction, device),
            [self.score],
            reduction=self.reduction,
            problem=module.train_problem,
        )
        if trainer.is_global_zero:
            scores.save(Path(trainer.default_root_dir) / "student_scores.safetensors")
        return scores


def log_pruning(before: KeptUnits, after: KeptUnits, sparsity: float) -> None:
    """Log the requested sparsity and the achieved one.

    Args:
        before: Units of the model before pruning.
        after: Units of the pruned model.
        sparsity: The requested fraction.
    """
    rank_zero_info(f"Pruning: requested sparsity {sparsity:g}; {removed_text(before, after)}")


def removed_text(before: KeptUnits, after: KeptUnits) -> str:
    """The fractions of units that were removed, as text.

    Args:
        before: Units of the model before pruning.
        after: Units of the pruned model.

    Examples:
        >>> removed_text(KeptUnits(((0, 1),), ((0, 1, 2, 3),)), KeptUnits(((0,),), ((0, 1, 2),)))
        'heads 0.500, neurons 0.250'
    """
    heads, neurons = (
        1 - sum(map(len, kept)) / max(sum(map(len, had)), 1)
        for had, kept in ((before.heads, after.heads), (before.neurons, after.neurons))
    )
    return f"heads {heads:.3f}, neurons {neurons:.3f}"
