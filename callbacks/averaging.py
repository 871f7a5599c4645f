"""Averaging: a fit ends with the mean of the weights that it had in its last steps."""

from __future__ import annotations

import math
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim.swa_utils import get_swa_multi_avg_fn

from callbacks.lifecycle import HeldChoice
from lightning_modules.base import ClassificationModule
from lightning_modules.resuming import refuse_changes
from stark.errors import StarkError, StarkTypeError

__all__ = ["AveragedWeights"]


class AveragedWeights(Callback):
    r"""Replaces the weights after the last step of a fit by their mean over its last steps.

    $\bar w = \frac{1}{n} \sum_{t = T - n + 1}^{T} w_t$ with $n = \max(1, \mathrm{round}(f T))$, where $w_t$ are the
    trained weights (those of the loss, too) after optimizer step t of T, and f is ``fraction``. The mean is computed in
    float32 on the weights' device. Which steps count is known before the training, so nothing is chosen on the few rows
    of the selection split: early stopping is switched off, and the only checkpoint with the best score is that of the
    last validation, which is the one with the averaged weights. The validations before it have the weights of their
    step.

    With `Rewinding`, the trial and the actual distillation are averaged separately, and `TeacherSparsification` scores
    the teacher against the averaged trial student. Embedding rows of tokens that do not occur in train are not trained;
    they keep the values of the last step.

    Lifecycle: until the last step early stopping is switched off; ``on_train_batch_end`` adds the weights of a step,
    and after the last one gives the module the mean, before the validation. ``state_dict`` has the mean so far, so that
    a resumed fit gives the same bits. `SaveModelFolder`, which reads the best checkpoint, saves the averaged weights.

    Source: Izmailov et al., 2018, with the steps at the end of the given schedule instead of a cyclical one.

    Args:
        fraction: Fraction of the steps whose weights are averaged, in (0, 1].

    Raises:
        StarkError: If the fraction is out of range, no validation follows the last step, or the fit ends before it.

    Examples:
        ```yaml
        trainer:
          callbacks+:
            class_path: callbacks.AveragedWeights
            init_args: {fraction: 0.1}
        ```
    """

    def __init__(self, fraction: float = 0.1) -> None:
        """Check the setting."""
        if not 0 < fraction <= 1:
            raise StarkError(f"fraction is {fraction}: give a fraction of the steps in (0, 1]")
        self.fraction = fraction
        self._phase: tuple[int, int | None] | None = None
        #: Number of steps in the mean.
        self._count = 0
        self._mean: list[Tensor] = []
        self._is_done = False
        self._choice = HeldChoice()

    @property
    def is_done(self) -> bool:
        """Whether the module has the averaged weights of the present phase."""
        return self._is_done

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the settings by which the best epoch is chosen, which only the last validation may be."""
        if stage != "fit":
            return
        if not isinstance(pl_module, ClassificationModule):
            raise StarkTypeError(f"AveragedWeights needs a ClassificationModule, got {type(pl_module).__name__}")
        self._phase, self._count, self._mean, self._is_done = None, 0, [], False  # of an earlier fit
        self._choice.remember(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that a validation follows the last step, and catch up with a step whose checkpoint came before it."""
        assert isinstance(pl_module, ClassificationModule)  # checked in setup
        _check_last_validation(trainer, pl_module)
        devices = [parameter.device for parameter in _averaged_parameters(pl_module)]
        if self._mean:  # a checkpoint's tensors are on the CPU
            self._mean = [mean.to(device) for mean, device in zip(self._mean, devices, strict=True)]
        self._follow(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:  # noqa: ANN401
        """Add the weights of a step to the mean; after the last step, give the module the mean."""
        assert isinstance(pl_module, ClassificationModule)  # checked in setup
        self._follow(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse to end with other weights than averaged ones.

        Raises:
            StarkError: If the fit ends before its last step, for example because of ``trainer.max_time``.
        """
        assert isinstance(pl_module, ClassificationModule)  # checked in setup
        if not self._is_done:
            done, steps = pl_module.steps()
            raise StarkError(
                f"the fit ended after step {done} of {steps}, so that its last steps were not averaged: let it run to "
                "its end (no trainer.max_time, no stopping callback), or leave AveragedWeights out"
            )

    def _follow(self, trainer: Trainer, module: ClassificationModule) -> None:
        if module.phase != self._phase:  # the fit begins, or was rewound
            self._phase, self._count, self._mean, self._is_done = module.phase, 0, [], False
        done, steps = module.steps()
        window = max(1, round(self.fraction * steps))
        if done - (steps - window) > self._count:
            self._add(module, done, steps - window)
        if self._is_done:
            self._choice.release(trainer)
        else:
            self._choice.hold(trainer)

    def _add(self, module: ClassificationModule, done: int, first: int) -> None:
        """Add the present weights, which are those after step ``done``; the mean begins after step ``first``."""
        parameters = _averaged_parameters(module)
        if self._count == 0:
            self._mean = [parameter.detach().float().clone() for parameter in parameters]
        else:
            _add_to_mean(self._mean, [parameter.detach().float() for parameter in parameters], self._count)
        self._count += 1
        if self._count != done - first:
            raise StarkError(
                f"the weights are averaged from step {first + 1} on, but the checkpoint of step {done} lacks their "
                "mean: resume from a checkpoint of a fit with AveragedWeights, or start a new fit without ckpt_path"
            )
        if done == module.steps()[1]:
            with torch.no_grad():
                for parameter, mean in zip(parameters, self._mean, strict=True):
                    parameter.copy_(mean)
            self._mean, self._is_done = [], True

    def state_dict(self) -> dict[str, Any]:
        """The mean so far, and the phase and the number of steps that it belongs to."""
        return {
            "fraction": self.fraction,
            "phase": None if self._phase is None else list(self._phase),
            "count": self._count,
            "mean": self._mean,
            "is_done": self._is_done,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state from `state_dict`.

        Raises:
            StarkError: If the checkpoint was made with another fraction.
        """
        refuse_changes({"fraction": self.fraction}, {"fraction": state_dict["fraction"]}, "AveragedWeights")
        if (phase := state_dict["phase"]) is not None:
            self._phase = (phase[0], phase[1])
        self._count, self._mean, self._is_done = state_dict["count"], state_dict["mean"], state_dict["is_done"]


_add_to_mean = get_swa_multi_avg_fn()


def _averaged_parameters(module: ClassificationModule) -> list[nn.Parameter]:
    return [parameter for parameter in module.trained_parameters() if parameter.requires_grad]


def _check_last_validation(trainer: Trainer, module: ClassificationModule) -> None:
    """Refuse a fit whose last step of a phase has no validation: the last score would be that of other weights."""
    batches, every = trainer.num_training_batches, trainer.val_check_batch
    if trainer.fast_dev_run or not trainer.enable_validation or math.isinf(batches):  # type: ignore[attr-defined]
        return
    assert every is not None  # it is known when a fit with validations starts
    steps_per_epoch = math.ceil(batches / trainer.accumulate_grad_batches)
    epochs, rest = divmod(module.steps()[1], steps_per_epoch)
    if rest:
        raise StarkError(
            f"trainer.max_steps is {trainer.max_steps}, which ends the fit within an epoch, and no validation follows: "
            f"AveragedWeights needs a multiple of the {steps_per_epoch} steps per epoch, or trainer.max_epochs alone"
        )
    every_epochs = trainer.check_val_every_n_epoch
    ends = [module.phase[0] + epochs]
    if module.phase[1] is not None and trainer.max_epochs is not None:  # another phase follows
        ends.append(trainer.max_epochs)
    if every_epochs is None:
        follows = all(end * batches % every == 0 for end in ends)
    else:
        follows = batches % every == 0 and all(end % every_epochs == 0 for end in ends)
    if not follows:
        raise StarkError(
            f"trainer.val_check_interval is {trainer.val_check_interval} and check_val_every_n_epoch {every_epochs}: "
            f"no validation follows the last batch, as an epoch has {batches} batches; AveragedWeights needs that "
            "validation, so leave both settings out"
        )
