"""Pruning: the student loses its least expressive heads and neurons before training starts."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor, nn
from transformers import PreTrainedModel

from callbacks.functional.masks import achieved_sparsity, check_sparsity, masks_at_sparsity
from callbacks.lifecycle import resumes
from callbacks.scoring import UnitScores, score_units, scoring_batches
from lightning_modules.base import ClassificationModule
from lightning_modules.functional.distillation import task_loss
from stark.choices import ScoreReduction, ScoringSplit
from stark.encoders.cutting import shrink_
from stark.forward.classifying import Batch

__all__ = ["EXPRESSIVENESS", "Pruning", "expressiveness_loss", "prune"]

EXPRESSIVENESS = "expressiveness"


def prune(model: PreTrainedModel, scores: UnitScores, sparsity: float, round_to: int = 8) -> PreTrainedModel:
    """Remove the least expressive heads and, separately, neurons of a model for good.

    Args:
        model: The model that was scored; it is changed.
        scores: Its scores.
        sparsity: Fraction of the heads and of the neurons to remove, over all layers.
        round_to: Keep a multiple of this many neurons in each layer; see `Pruning`.

    Returns:
        The shrunk model.
    """
    heads, neurons = scores.normalized(EXPRESSIVENESS)
    head_masks = masks_at_sparsity(heads, sparsity)
    neuron_masks = masks_at_sparsity(neurons, sparsity, round_to)
    rank_zero_info(
        f"Pruning: asked for sparsity {sparsity:g}; heads {achieved_sparsity(head_masks):.3f}, "
        f"neurons {achieved_sparsity(neuron_masks):.3f}"
    )
    return shrink_(model, head_masks, neuron_masks)


class Pruning(Callback):
    """Scores the trained classifier by expressiveness and shrinks it to a sparsity before training starts.

    Lifecycle: ``setup`` scores (or reads scores) and shrinks, since later the optimizer and DDP hold the weights; a
    resumed fit gets the shrunk shape from its checkpoint and scores nothing. The scores are written to
    ``student_scores.safetensors`` under ``trainer.default_root_dir``.

    Source: the paper's parameter-pruned students; GeneZC/StarK `run_pruning.py`.

    Args:
        sparsity: Fraction of the heads and of the neurons to remove, in [0, 1).
        split: The data to score on: ``selection``, ``validation`` (the released protocol) or ``train``.
        reduction: ``example``, or ``batch`` for the released code's scores.
        round_to: Keep a multiple of this many neurons in each layer. Matrix products of other widths take more time
            than their operations would; 1 keeps the asked sparsity exactly.
        scores: File of an earlier scoring of the same model, to cut another sparsity without scoring again.

    Raises:
        ValueError: If the sparsity lies outside [0, 1).

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
    ) -> None:
        """Check the settings."""
        self.sparsity = check_sparsity(sparsity)
        self.split: ScoringSplit = split
        self.reduction: ScoreReduction = reduction
        self.round_to = round_to
        self.scores = scores

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Shrink the classifier of a fresh fit."""
        if stage != "fit" or resumes(trainer):
            return
        if not isinstance(pl_module, ClassificationModule):
            raise TypeError(f"Pruning needs a ClassificationModule, {type(pl_module).__name__} is none")
        pl_module.classifier = prune(
            pl_module.classifier, self._score(trainer, pl_module), self.sparsity, self.round_to
        )

    def _score(self, trainer: Trainer, module: ClassificationModule) -> UnitScores:
        if self.scores is not None:
            return UnitScores.load(Path(self.scores), module.classifier, [EXPRESSIVENESS])
        device = trainer.strategy.root_device
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by the data connector
        scores = score_units(
            nn.Module.to(module.classifier, device),
            scoring_batches(data, self.split, self.reduction, device),
            {EXPRESSIVENESS: expressiveness_loss},
            self.reduction,
        )
        if trainer.is_global_zero:
            scores.save(Path(trainer.default_root_dir) / "student_scores.safetensors")
        return scores


def expressiveness_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Loss whose mask gradients are expressiveness: the task loss of each example, ``(batch,)``.

    Args:
        logits: Shape ``(batch, num_labels)``.
        batch: With ``labels``.

    Returns:
        The losses.
    """
    return task_loss(logits, batch["labels"], reduction="none")
