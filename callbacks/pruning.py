"""Pruning: the student loses the heads and neurons of the lowest score before training starts."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_info
from torch import nn

from callbacks.lifecycle import resumes
from callbacks.scoring import scoring_batches
from lightning_modules.base import ClassificationModule
from stark.budgets.budget import Budget
from stark.budgets.sparsity import check_sparsity
from stark.choices import ScoreReduction, ScoringSplit
from stark.encoders.layers import kept_units
from stark.encoders.units import KeptUnits
from stark.errors import StarkTypeError
from stark.pruning import prune
from stark.scores.expressiveness import Expressiveness
from stark.scores.score import Score, check_score
from stark.scores.scoring import score_units
from stark.scores.unit_scores import UnitScores

__all__ = ["Pruning", "log_pruning"]


class Pruning(Callback):
    """Scores the trained classifier and shrinks it to a sparsity before training starts.

    Lifecycle: ``setup`` scores (or reads scores) and shrinks, since later the optimizer and DDP hold the weights; a
    resumed fit gets the shrunk shape from its checkpoint and scores nothing. The scores are written to
    ``student_scores.safetensors`` under ``trainer.default_root_dir``.

    Source: the paper's parameter-pruned students; GeneZC/StarK `run_pruning.py`.

    Args:
        sparsity: Fraction to remove, in [0, 1), of what the budget counts: by default of the heads and of the neurons.
        split: The data to score on: ``selection``, ``validation`` (the released protocol) or ``train``.
        reduction: ``example``, or ``batch`` for the released code's scores.
        round_to: Keep a multiple of this many neurons in each layer. Matrix products of other widths take more time
            than their operations would; 1 keeps the asked sparsity exactly.
        scores: File of an earlier scoring of the same model, to cut another sparsity without scoring again.
        score: What units are ranked by; null for `Expressiveness`.
        budget: Of what the sparsity is a fraction; null for `Units`.

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
    ) -> None:
        """Check the settings."""
        self.sparsity = check_sparsity(sparsity)
        self.split: ScoringSplit = split
        self.reduction: ScoreReduction = reduction
        self.round_to = round_to
        self.scores = scores
        self.score = check_score(score or Expressiveness(), "Pruning.score")
        self.budget = budget

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Shrink the classifier of a fresh fit."""
        if stage != "fit" or resumes(trainer):
            return
        if not isinstance(pl_module, ClassificationModule):
            raise StarkTypeError(f"Pruning needs a ClassificationModule, {type(pl_module).__name__} is none")
        scores = self._score(trainer, pl_module)
        before = kept_units(pl_module.classifier)
        pl_module.classifier = prune(
            pl_module.classifier, self.score, scores, self.sparsity, self.budget, self.round_to
        )
        log_pruning(before, kept_units(pl_module.classifier), self.sparsity)

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
        )
        if trainer.is_global_zero:
            scores.save(Path(trainer.default_root_dir) / "student_scores.safetensors")
        return scores


def log_pruning(before: KeptUnits, after: KeptUnits, sparsity: float) -> None:
    """Log the sparsity that was reached beside the one that was asked for.

    Args:
        before: Units of the model before it was pruned.
        after: Those that it kept.
        sparsity: The fraction that was asked for.
    """
    heads, neurons = (
        1 - sum(map(len, kept)) / max(sum(map(len, had)), 1)
        for had, kept in ((before.heads, after.heads), (before.neurons, after.neurons))
    )
    rank_zero_info(f"Pruning: asked for sparsity {sparsity:g}; heads {heads:.3f}, neurons {neurons:.3f}")
