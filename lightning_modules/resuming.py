"""State that a checkpoint needs in addition to Lightning's content, so that a resumed fit gives the same bits.

Lightning saves neither random states nor the position in the data. The functions here save and restore them.
"""

from __future__ import annotations

import random
from typing import Any, Protocol, runtime_checkable

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn

from stark.errors import StarkError
from stark.processes import mean_over_processes

__all__ = [
    "EpochBatches",
    "batches_done",
    "loss_weight",
    "partial_gradients",
    "random_states",
    "redo_validation",
    "refuse_changes",
    "restore_gradients_",
    "restore_random_states",
    "start_epoch",
    "validation_is_due",
]


@runtime_checkable
class EpochBatches(Protocol):
    """A batch sampler that can start in the middle of an epoch and whose order is a pure function of the epoch.

    Every process knows all batches of the epoch, so each can compute the weight of its batches in an update.
    """

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Choose the epoch of the next iteration, and the batch that it starts with."""

    def loss_weight(self, step: int, accumulate: int = 1, steps: int | None = None) -> float:
        """Return the factor for a batch's mean loss that makes an update's gradient the mean over its rows."""


def random_states() -> dict[str, Any]:
    """Collect the states of the generators that training draws from.

    Returns:
        States of Python, torch and every CUDA device; plain values and tensors, so that they load with weights_only.

    Examples:
        >>> states = random_states()
        >>> first = torch.rand(1)
        >>> restore_random_states(states)
        >>> bool(first == torch.rand(1))
        True
    """
    return {"python": random.getstate(), "torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}


def restore_random_states(states: dict[str, Any]) -> None:
    """Set the generators to collected states.

    Args:
        states: Result of `random_states`.
    """
    version, internal, gauss_next = states["python"]
    random.setstate((version, tuple(internal), gauss_next))
    torch.set_rng_state(states["torch"].cpu())
    # A run may be resumed on another number of devices; then their streams cannot be the same anyway.
    if len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])


def batches_done(trainer: Trainer) -> int:
    """Return the number of this epoch's batches that a resumed fit must skip; 0 at the start of an epoch.

    Args:
        trainer: The trainer, with its loops already restored.

    Returns:
        The number of batches.
    """
    done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return done if done < trainer.num_training_batches else 0


def validation_is_due(trainer: Trainer) -> bool:
    """Whether a checkpoint written now would fall between a training batch and the end of the validation after it.

    Lightning resumes from such a checkpoint without that validation, or in the middle of it without the metrics of the
    first half.

    Args:
        trainer: The trainer, in a fit.

    Returns:
        True in the hooks at the end of a batch after which validation runs, and of a batch of that validation.
    """
    loop = trainer.fit_loop.epoch_loop
    batches: Any = loop.batch_progress.total
    validated: Any = loop.val_loop.batch_progress.total
    fetcher = trainer.fit_loop._data_fetcher
    if trainer.validating:
        return bool(_is_batch_end(validated))
    return _is_batch_end(batches) and fetcher is not None and bool(loop._should_check_val_fx(fetcher))


def _is_batch_end(counts: Any) -> bool:  # noqa: ANN401 - Lightning's private counters
    return bool(counts.started == counts.processed and counts.completed == counts.processed - 1)


def redo_validation(loops: dict[str, Any]) -> None:
    """Change a checkpoint's loop state so that the resumed fit starts with the validation that is due.

    The training batch is marked as completed, and validation as interrupted at its first batch.

    Args:
        loops: ``checkpoint["loops"]`` of a checkpoint for which `validation_is_due`; it is changed.
    """
    batches = loops["fit_loop"]["epoch_loop.batch_progress"]
    validation = loops["fit_loop"]["epoch_loop.val_loop.batch_progress"]
    if batches["total"]["completed"] == batches["total"]["processed"]:  # stopped within the validation
        validation["total"]["completed"] -= validation["current"]["completed"]
    for counts in (batches["total"], batches["current"]):
        counts["completed"] = counts["processed"]
    validation["current"] = dict.fromkeys(validation["current"], 0)
    validation["total"]["ready"] = validation["total"]["started"] = validation["total"]["completed"] + 1
    validation["total"]["processed"] = validation["total"]["completed"]


def start_epoch(trainer: Trainer, epoch: int, first_batch: int) -> None:
    """Set the training loader to an epoch and to a batch in it.

    Args:
        trainer: The trainer; a loader whose batch sampler is not an `EpochBatches` is not changed.
        epoch: The epoch, counted from the start of the phase.
        first_batch: Number of batches that are done already.
    """
    batches = getattr(trainer.train_dataloader, "batch_sampler", None)
    if isinstance(batches, EpochBatches):
        batches.set_epoch(epoch, first_batch=first_batch)


def loss_weight(trainer: Trainer | None, step: int) -> float:
    """Return the factor for a batch's mean loss that makes an update's gradient the mean over all of its rows.

    These are the rows of all processes and of all batches whose gradients are accumulated. The factor is needed because
    Lightning divides each loss by ``accumulate_grad_batches`` even if the epoch's last update has fewer batches, and
    DDP takes the mean over the processes even if one of them has fewer rows.

    Args:
        trainer: The trainer, in a fit; None for a module by itself.
        step: Number of the batch in the epoch.

    Returns:
        The factor; 1 for a loader whose batch sampler is not an `EpochBatches`.
    """
    batches = getattr(trainer.train_dataloader, "batch_sampler", None) if trainer is not None else None
    if trainer is None or not isinstance(batches, EpochBatches):
        return 1.0
    return batches.loss_weight(step, trainer.accumulate_grad_batches, int(trainer.num_training_batches))


def partial_gradients(trainer: Trainer, module: nn.Module) -> dict[str, Tensor]:
    """Return the gradients of an update whose batches are not all done; all processes must call this.

    Args:
        trainer: The trainer, in a fit.
        module: The trained module.

    Returns:
        Gradients by parameter name, on the CPU; empty between two updates. With several processes it is their mean,
        which their update would also use. The order of additions then differs, so a resumed fit is the same only up to
        rounding.
    """
    if batches_done(trainer) % trainer.accumulate_grad_batches == 0:
        return {}
    gradients = {name: parameter.grad for name, parameter in module.named_parameters() if parameter.grad is not None}
    return {name: mean_over_processes(gradient).cpu() for name, gradient in gradients.items()}


def restore_gradients_(module: nn.Module, gradients: dict[str, Tensor]) -> None:
    """Restore the gradients of an unfinished update.

    Args:
        module: The trained module; it is changed.
        gradients: Result of `partial_gradients`.
    """
    for name, parameter in module.named_parameters():
        if name in gradients:
            parameter.grad = gradients[name].to(parameter.device, copy=True)


def refuse_changes(now: dict[str, Any], then: dict[str, Any], where: str) -> None:
    """Refuse to resume with settings that differ from the checkpoint's.

    Args:
        now: The settings of this fit.
        then: The settings in the checkpoint.
        where: The prefix of the keys in the message, such as ``model``.

    Raises:
        StarkError: At the first key whose values differ.

    Examples:
        >>> refuse_changes({"seed": 1}, {"seed": 2}, "data")
        Traceback (most recent call last):
        stark.errors.StarkError: data.seed is 1 but the checkpoint was made with 2: resume with the same settings, ...
    """
    for key in sorted(now.keys() | then.keys()):
        if now.get(key) != then.get(key):
            raise StarkError(
                f"{where}.{key} is {now.get(key)!r} but the checkpoint was made with {then.get(key)!r}: resume with "
                "the same settings, or start a new fit without ckpt_path"
            )
