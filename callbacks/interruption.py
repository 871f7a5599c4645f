"""Interruption: a signal ends a fit at the end of a batch, with a checkpoint to resume from."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import torch.distributed
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities import rank_zero_info

from callbacks.signals import PARENT_VARIABLE, Interrupted

__all__ = ["StopOnSignal"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(Callback):
    """On SIGINT or SIGTERM, finishes the current batch, writes ``checkpoints/last.ckpt`` and ends the fit.

    Lifecycle: ``on_train_start`` replaces the signal handlers; ``on_train_batch_end`` and ``on_validation_batch_end``
    save and raise `Interrupted`; ``teardown`` and ``on_exception`` restore the handlers, and ``teardown`` raises a
    signal again that came after the last batch. Several processes agree after every training batch whether to stop, by
    a message between CPUs. A second signal ends the fit at once, without a checkpoint.
    """

    def __init__(self) -> None:
        """Start without a signal."""
        self._signum = 0
        self._handlers: dict[signal.Signals, Any] = {}
        self._group: Any = None
        self._parent = int(os.environ.get(PARENT_VARIABLE, 0))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace Lightning's signal handlers, which communicate with other processes in the middle of a step."""
        self._signum = 0
        if threading.current_thread() is threading.main_thread():
            self._handlers = {signum: signal.signal(signum, self._ask) for signum in _SIGNALS}
        if trainer.world_size > 1:
            self._group = torch.distributed.new_group(backend="gloo")

    def _ask(self, signum: int, _: FrameType | None) -> None:
        if self._signum:
            raise Interrupted(signum)
        self._signum = signum
        rank_zero_info(
            f"Stopping at the end of the batch ({signal.Signals(signum).name}); repeat the signal to stop at once"
        )

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:  # noqa: ANN401
        """Stop if any process got a signal."""
        self._stop_if_asked(trainer, self._asked_anywhere(trainer))

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:  # noqa: ANN401
        """Stop within a validation; the resumed fit runs this validation again from its start."""
        # Not with several processes: they may have different numbers of these batches, so they could not agree.
        if trainer.world_size == 1 and trainer.state.fn == "fit":
            self._stop_if_asked(trainer, self._signum)

    def _asked_anywhere(self, trainer: Trainer) -> int:
        if self._parent and trainer.is_global_zero and os.getppid() != self._parent:
            self._signum = signal.SIGTERM
        if self._group is None:
            return self._signum
        asked = torch.tensor([self._signum])
        torch.distributed.all_reduce(asked, torch.distributed.ReduceOp.MAX, self._group)
        return int(asked)

    def _stop_if_asked(self, trainer: Trainer, signum: int) -> None:
        if signum:
            path = _last_checkpoint(trainer)
            trainer.save_checkpoint(path)
            raise Interrupted(signum, path)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restore the signal handlers."""
        self._give_back()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the signal handlers, and raise a signal again that came after the last batch."""
        if self._give_back() and self._signum:
            signal.raise_signal(self._signum)

    def _give_back(self) -> bool:
        handlers, self._handlers, self._group = self._handlers, {}, None
        for signum, handler in handlers.items():
            if signal.getsignal(signum) == self._ask:  # Lightning may have restored its own handlers already
                signal.signal(signum, handler)
        return bool(handlers)


def _last_checkpoint(trainer: Trainer) -> Path:
    folders = [callback.dirpath for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
    return Path(folders[0] or trainer.default_root_dir if folders else trainer.default_root_dir, "last.ckpt")
