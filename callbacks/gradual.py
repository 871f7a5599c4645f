"""Gradual pruning: the classifier is cut in several steps while it is trained."""

from __future__ import annotations

import copy
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_info
from torch.optim import Optimizer
from transformers import PreTrainedModel

from callbacks.compilation import Compilation
from callbacks.lifecycle import HeldChoice, has_trial
from callbacks.pruning import removed_text
from callbacks.refitting import refit_on_train_
from callbacks.scoring import scoring_batches
from lightning_modules.base import ClassificationModule, classifier_from_config
from lightning_modules.distillation import DistillationModule
from lightning_modules.resuming import refuse_changes
from stark.budgets.budget import Budget
from stark.budgets.sparsity import check_sparsity
from stark.choices import ScoreReduction, ScoringSplit
from stark.encoders.cutting import shrink_
from stark.encoders.layers import kept_units
from stark.encoders.trained import shrink_trained_
from stark.encoders.units import UnitMasks
from stark.errors import StarkError, StarkTypeError
from stark.pruning import choose_units
from stark.refitting import check_refit
from stark.schedules.gradual import cut_steps, gradual_sparsities
from stark.scores.expressiveness import Expressiveness
from stark.scores.score import Score, Taught, check_score
from stark.scores.scoring import score_units

__all__ = ["GradualPruning"]


class GradualPruning(Callback):
    """Cuts the classifier to a sparsity in several cuts, spread over the first part of a fit.

    The sparsity after each cut follows the cubic schedule of `gradual_sparsities`. Before each cut the units that are
    left are scored again. Then the classifier is shrunk, so that the following steps cost less, and the optimizer goes
    on with the moments of the weights that are left; the learning rate's schedule is not changed. Until the last cut no
    epoch counts as the best one, and early stopping waits.

    Lifecycle: ``on_train_batch_start`` cuts, between two updates. A checkpoint has the shape that the classifier had,
    so that a resumed fit gives the same bits.

    Source: Zhu and Gupta, 2018, "To prune, or not to prune", with units instead of weights; CoFi (Xia et al., 2022)
    prunes during distillation, too, but learns its masks.

    Args:
        sparsity: Fraction of heads and of neurons that the last cut leaves removed, in [0, 1). With a budget, fraction
            of what it counts.
        cuts: Number of cuts.
        fraction: Fraction of the steps after which the last cut is made, in (0, 1).
        split: The data to score on: ``selection``, ``validation`` or ``train``.
        reduction: ``example``, or ``batch`` for the released code's scores.
        round_to: Number of which each layer's kept neurons are a multiple.
        score: Score by which units are ranked, such as `Imitation`; null means `Expressiveness`.
        budget: Budget, which defines what the sparsity is a fraction of; null means `Units`.
        refit: Whether the output projections are solved on rows of train after each cut, see `refit_`.

    Raises:
        StarkError: If a number is out of range, or the fit has another callback or several processes that do not allow
            shapes to change.

    Examples:
        ```yaml
        trainer:
          callbacks+:
            class_path: callbacks.GradualPruning
            init_args: {sparsity: 0.9, cuts: 8, fraction: 0.5}
        ```
    """

    def __init__(
        self,
        sparsity: float,
        cuts: int = 8,
        fraction: float = 0.5,
        split: ScoringSplit = "selection",
        reduction: ScoreReduction = "example",
        round_to: int = 8,
        score: Score | None = None,
        budget: Budget | None = None,
        refit: bool = False,
    ) -> None:
        """Check the settings."""
        self.sparsity = check_sparsity(sparsity)
        if cuts < 1:
            raise StarkError(f"cuts is {cuts}: give at least 1")
        if not 0 < fraction < 1:
            raise StarkError(f"fraction is {fraction}: give a fraction of the steps in (0, 1)")
        self.cuts, self.fraction = cuts, fraction
        self.split: ScoringSplit = split
        self.reduction: ScoreReduction = reduction
        self.round_to = round_to
        self.score = check_score(score or Expressiveness(), "GradualPruning.score", has_teacher=True)
        self.budget = budget
        self.refit = refit
        #: Number of cuts of the schedule that are over.
        self.done = 0
        #: Configuration of the uncut classifier, as JSON.
        self._original: str | None = None
        self._choice = HeldChoice()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse fits in which shapes must not change."""
        if stage != "fit":
            return
        if not isinstance(pl_module, ClassificationModule):
            raise StarkTypeError(f"GradualPruning needs a ClassificationModule, got {type(pl_module).__name__}")
        if trainer.world_size > 1:
            raise StarkError(
                f"GradualPruning changes shapes while it trains, which {trainer.world_size} processes cannot follow: "
                "set trainer.devices to 1, or cut at once with callbacks.Pruning"
            )
        if has_trial(trainer):
            raise StarkError(
                "Rewinding goes back to the initial weights, whose shapes GradualPruning has changed: distil twice in "
                "fits of their own, as stark run does, or cut at once with callbacks.Pruning"
            )
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        if any(isinstance(callback, Compilation) for callback in callbacks):
            raise StarkError(
                "GradualPruning changes shapes, and each change would be compiled again: leave Compilation out"
            )
        if self.score.needs_teacher and not isinstance(pl_module, DistillationModule):
            raise StarkError(f"{self.score} compares with a teacher, and this fit has none: choose another score")
        if self.refit:
            check_refit(pl_module.classifier)
        self.done, self._original = 0, None  # of an earlier fit
        self._choice.remember(trainer)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that the loss can compare a cut student."""
        if isinstance(pl_module, DistillationModule):
            student = copy.deepcopy(pl_module.student)
            copy.deepcopy(pl_module.loss).prepare_(shrink_(student, _without_last(student)), pl_module.teacher)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the uncut shape; a resumed fit knows it from its checkpoint."""
        assert isinstance(pl_module, ClassificationModule)  # checked in setup
        if self._original is None:
            self._original = pl_module.classifier.config.to_json_string(use_diff=False)
        if self.done < self.cuts:
            self._choice.hold(trainer)

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ANN401 - Lightning's signature
        batch_idx: int,
    ) -> None:
        """Cut, if enough steps are done and no gradients are waiting for an update."""
        assert isinstance(pl_module, ClassificationModule)  # checked in setup
        if self.done == self.cuts or batch_idx % trainer.accumulate_grad_batches:
            return
        steps, of = pl_module.steps()
        due = sum(step <= steps for step in cut_steps(of, self.cuts, self.fraction))
        if due == self.done:
            return
        (optimizer,) = trainer.optimizers
        self._cut(trainer, pl_module, optimizer, gradual_sparsities(self.sparsity, self.cuts)[due - 1])
        self.done = due
        if self.done == self.cuts:
            self._choice.release(trainer)
            pl_module.val_scores.clear()

    def _cut(self, trainer: Trainer, module: ClassificationModule, optimizer: Optimizer, sparsity: float) -> None:
        assert self._original is not None  # set in on_train_start
        model, device = module.classifier, trainer.strategy.root_device
        data = trainer.datamodule  # type: ignore[attr-defined]  # set by the data connector
        with torch.device("meta"):  # a budget only reads its sizes
            original = classifier_from_config(self._original)
        scores = score_units(
            model,
            scoring_batches(data, self.split, self.reduction, device),
            [self.score],
            _taught(module),
            self.reduction,
            problem=module.train_problem,
        )
        masks = choose_units(model, self.score, scores, sparsity, self.budget, self.round_to, original)
        before = copy.deepcopy(model) if self.refit else None
        shrink_trained_(model, masks, optimizer)
        removed = removed_text(kept_units(original), kept_units(model))
        rank_zero_info(f"GradualPruning: after step {module.steps()[0]}, requested sparsity {sparsity:.3f}; {removed}")
        if before is not None:
            refit_on_train_(model, before, data, device)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse to end with a classifier that is larger than was asked for.

        Raises:
            StarkError: If the fit ends before its last cut, for example because of ``trainer.max_time``.
        """
        if self.done < self.cuts:
            raise StarkError(
                f"the fit ended after {self.done} of {self.cuts} cuts, with a larger model than was asked for: let it "
                "run to its end (no trainer.max_time, no stopping callback), or give a smaller fraction"
            )

    def state_dict(self) -> dict[str, Any]:
        """The settings, the number of cuts, and the uncut shape."""
        return {**self._settings(), "done": self.done, "original": self._original}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from `state_dict`.

        Raises:
            StarkError: If the checkpoint was made with other settings.
        """
        then = dict(state_dict)
        self.done, self._original = then.pop("done"), then.pop("original")
        refuse_changes(self._settings(), then, "GradualPruning")

    def _settings(self) -> dict[str, Any]:
        budget = None if self.budget is None else f"{type(self.budget).__name__}({vars(self.budget)})"
        names = ("sparsity", "cuts", "fraction", "split", "reduction", "round_to", "refit")
        return {**{name: getattr(self, name) for name in names}, "score": repr(self.score), "budget": budget}


def _taught(module: ClassificationModule) -> Taught | None:
    return Taught(module.teacher, module.loss) if isinstance(module, DistillationModule) else None


def _without_last(model: PreTrainedModel) -> UnitMasks:
    """Masks that remove the last head and the last neuron of each layer."""
    kept = kept_units(model)
    heads, neurons = (
        [torch.arange(len(units)) < len(units) - 1 for units in layers] for layers in (kept.heads, kept.neurons)
    )
    return UnitMasks(heads, neurons)
