"""Teacher sparsification: the teacher loses the units that are neither expressive nor friendly to its student."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor, nn
from transformers import PreTrainedModel

from callbacks.functional.importance import knowledgeableness
from callbacks.functional.masks import achieved_sparsity, check_sparsity, masks_at_sparsity
from callbacks.layer_dropping import LayerDropping
from callbacks.lifecycle import has_trial, resumes
from callbacks.pruning import EXPRESSIVENESS, Pruning, expressiveness_loss
from callbacks.saving import inputs_of
from callbacks.scoring import UnitScores, score_units, scoring_batches
from lightning_modules.distillation import DistillationModule
from lightning_modules.functional.distillation import distillation_loss
from stark.choices import ScoreReduction, ScoringSplit
from stark.forward.classifying import Batch, classify
from stark.model_folders.model_folder import save_classifier
from stark.model_folders.model_inputs import ModelInputs

__all__ = ["FRIENDLINESS", "TeacherSparsification", "score_teacher", "teacher_masks"]

FRIENDLINESS = "friendliness"


def score_teacher(
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    batches: Iterable[Batch],
    *,
    temperature: float = 2.0,
    weight: float = 0.5,
    reduction: ScoreReduction = "example",
) -> UnitScores:
    """Score the teacher's units by expressiveness and by friendliness, from one forward pass of each model.

    Friendliness is the importance for the loss of distillation with the student's logits held constant.

    Source: the paper's section 3.2; GeneZC/StarK `run_sparsification.py`.

    Args:
        teacher: The dense teacher.
        student: The trial student.
        batches: On the models' device, in a fixed order.
        temperature: T of the distillation.
        weight: Weight of the teacher's part in the distillation.
        reduction: See `batch_importance`.

    Returns:
        Raw scores.
    """

    def friendliness_loss(logits: Tensor, batch: Batch) -> Tensor:
        with torch.no_grad():
            student_logits = classify(student, batch)
        return distillation_loss(
            student_logits=student_logits,
            teacher_logits=logits,
            labels=batch["labels"],
            temperature=temperature,
            weight=weight,
            reduction="none",
        )

    was_training = student.training
    student.eval()
    try:
        losses = {EXPRESSIVENESS: expressiveness_loss, FRIENDLINESS: friendliness_loss}
        return score_units(teacher, batches, losses, reduction)
    finally:
        student.train(was_training)


def teacher_masks(scores: UnitScores, lam: float, sparsity: float) -> tuple[list[Tensor], list[Tensor]]:
    """Head and neuron masks of the sparse teacher, for any lam and sparsity from one scoring.

    Args:
        scores: Expressiveness and friendliness of the teacher's units.
        lam: Weight of expressiveness in [0, 1].
        sparsity: Fraction of the heads and of the neurons to remove, over all layers.

    Returns:
        One mask per layer for heads, and one for neurons; True keeps.
    """
    expressive, friendly = scores.normalized(EXPRESSIVENESS), scores.normalized(FRIENDLINESS)
    heads, neurons = (
        masks_at_sparsity(knowledgeableness(e, f, lam), sparsity) for e, f in zip(expressive, friendly, strict=True)
    )
    return heads, neurons


class TeacherSparsification(Callback):
    """Scores the dense teacher against the trial student and shrinks it to a sparsity.

    Lifecycle: with `Rewinding` in the same fit, `sparsify` runs when the trial ends.
    Without it, ``setup`` runs it before training: then the module's student must be an already distilled one. A
    resumed fit gets the sparse teacher from its checkpoint and scores nothing. Written under
    ``trainer.default_root_dir``: ``teacher_scores.safetensors`` (expressiveness and friendliness, raw and normalised)
    and ``teacher/``, the sparse teacher's model folder.

    Source: the paper's section 3.2; GeneZC/StarK `run_sparsification.py`.

    Args:
        lam: Weight of expressiveness against friendliness, in [0, 1].
        sparsity: Fraction of the teacher's heads and of its neurons to remove, in [0, 1).
        split: The data to score on: ``selection``, ``validation`` (the released protocol) or ``train``.
        reduction: ``example``, or ``batch`` for the released code's scores.
        scores: File of an earlier scoring of the same teacher, to cut another sparsity or lam without scoring again.

    Raises:
        ValueError: If sparsity or lam is out of range.

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
        lam: float,
        sparsity: float,
        split: ScoringSplit = "selection",
        reduction: ScoreReduction = "example",
        scores: str | None = None,
    ) -> None:
        """Check the settings."""
        knowledgeableness([], [], lam)  # checks lam
        self.sparsity = check_sparsity(sparsity)
        self.lam = lam
        self.split: ScoringSplit = split
        self.reduction: ScoreReduction = reduction
        self.scores = scores

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Sparsify at once when there is no trial in this fit."""
        if stage != "fit":
            return
        if not isinstance(pl_module, DistillationModule):
            raise TypeError(f"TeacherSparsification needs a DistillationModule, {type(pl_module).__name__} is none")
        if has_trial(trainer):
            return
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        if any(isinstance(callback, (Pruning, LayerDropping)) for callback in callbacks):
            raise ValueError(
                "TeacherSparsification scores against a distilled student, but this fit only now prunes it: add "
                "callbacks.Rewinding for a trial distillation, or give a distilled student and no pruning"
            )
        if not resumes(trainer):
            self.sparsify(trainer, pl_module)

    def sparsify(self, trainer: Trainer, module: DistillationModule) -> None:
        """Score the teacher against the module's student as it is, and shrink it.

        Args:
            trainer: The trainer, whose data module gives the batches.
            module: The module; its teacher is replaced.
        """
        scores = self._score(trainer, module)
        heads, neurons = teacher_masks(scores, self.lam, self.sparsity)
        rank_zero_info(
            f"TeacherSparsification: asked for sparsity {self.sparsity:g} at lam {self.lam:g}; heads "
            f"{achieved_sparsity(heads):.3f}, neurons {achieved_sparsity(neurons):.3f}"
        )
        module.shrink_teacher(heads, neurons)
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir)
            scores.save(folder / "teacher_scores.safetensors")
            # A teacher that was trained here keeps its own.
            inputs = None if ModelInputs.read(module.teacher.config) else inputs_of(trainer, module)
            save_classifier(module.teacher, folder / "teacher", module.tokenizer, inputs)

    def _score(self, trainer: Trainer, module: DistillationModule) -> UnitScores:
        if self.scores is not None:
            return UnitScores.load(Path(self.scores), module.teacher, [EXPRESSIVENESS, FRIENDLINESS])
        device = trainer.strategy.root_device
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by the data connector
        return score_teacher(
            nn.Module.to(module.teacher, device),
            nn.Module.to(module.student, device),
            scoring_batches(data, self.split, self.reduction, device),
            temperature=module.temperature,
            weight=module.distillation_weight,
            reduction=self.reduction,
        )
