"""Training steps that are recorded whole: forward, backward, clipping and the optimizer's step replay as one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn
from transformers import PreTrainedModel

from lightning_modules.resuming import loss_weight
from stark.forward.classifying import Batch
from stark.forward.replaying import Recorder, Replayed, bucket_of, pad_batch
from stark.model_folders.input_checks import most_tokens
from stark.telling import warn_once

__all__ = ["WholeSteps"]


_WEIGHT = "loss_weight"


class _Module(Protocol):
    """What a recorded step needs of `ClassificationModule`."""

    classifier: PreTrainedModel

    @property
    def trainer(self) -> Trainer: ...

    @property
    def device(self) -> torch.device: ...

    def loss_on(self, inputs: Batch) -> Tensor: ...

    def trained_parameters(self) -> Iterator[nn.Parameter]: ...


class WholeSteps:
    """The training steps of a module, recorded and replayed; see `Replayed`.

    Rows are padded to few lengths, so that there are few recordings. Padding is masked, so that the weights differ from
    those of an ordinary fit by rounding, and, with dropout, by other random numbers. All recordings are discarded when
    the model, the teacher or the optimizer is another object, as after rewinding, or when the model was cut.

    Args:
        module: The module, in a fit of a single process without a gradient scaler.
        recorder: Records a step, such as `CUDAGraphs`.
    """

    def __init__(self, module: _Module, recorder: Recorder) -> None:
        """Start without a recording."""
        self._module, self._recorder = module, recorder
        self._belongs_to: tuple[Any, ...] = ()
        self._replayed: Replayed | None = None

    def __call__(self, batch: Batch, batch_idx: int) -> Tensor:
        """Do one training step, or its part of an update with accumulated batches.

        Args:
            batch: The batch, with the stored outputs of the teacher if there are any.
            batch_idx: Number of the batch in the epoch.

        Returns:
            The mean loss of the batch, detached.
        """
        module, trainer = self._module, self._module.trainer
        # A model that is cut gets another configuration.
        model = module.classifier
        objects = (model, model.config, getattr(module, "teacher", None), trainer.optimizers[0])
        if self._replayed is None or any(new is not old for new, old in zip(objects, self._belongs_to, strict=True)):
            self._belongs_to, self._replayed = objects, Replayed(self._step, self._recorder)
        accumulate = trainer.accumulate_grad_batches
        weight = loss_weight(trainer, batch_idx) / accumulate
        config = module.classifier.config
        length = bucket_of(batch["input_ids"].shape[1], most_tokens(config))
        padded = pad_batch(batch, length, config.pad_token_id or 0)
        padded[_WEIGHT] = torch.full((), weight, device=module.device)
        loss = self._replayed(padded, trainer.is_last_batch or (batch_idx + 1) % accumulate == 0)
        if self._replayed.obstacle:
            warn_once(f"the steps of this fit are not recorded: {self._replayed.obstacle}")
        return loss

    @property
    def recordings(self) -> int:
        """Number of recordings for the present model and optimizer."""
        return 0 if self._replayed is None else self._replayed.recordings

    def _step(self, batch: Batch, is_update: bool) -> Tensor:
        module, trainer = self._module, self._module.trainer
        device, (optimizer,) = module.device.type, trainer.optimizers
        # Cached casts of the weights would be part of one recording and missing in the others. The backward pass is
        # outside of autocast, as Lightning's is.
        half = torch.autocast(
            device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device), cache_enabled=False
        )
        with half:
            loss = module.loss_on(batch)
        with torch.autocast(device, enabled=False):
            (loss * batch[_WEIGHT]).backward()
            if is_update:
                if trainer.gradient_clip_val:
                    nn.utils.clip_grad_norm_(list(module.trained_parameters()), trainer.gradient_clip_val)
                optimizer.step()
                # Gradients that are accumulated must stay in the same memory over several recordings.
                optimizer.zero_grad(set_to_none=trainer.accumulate_grad_batches == 1)
        return loss.detach()
