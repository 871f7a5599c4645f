"""torch.compile for the trained classifier."""

from __future__ import annotations

import os
import shutil
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from lightning_modules.base import ClassificationModule
from lightning_modules.distillation import DistillationModule
from stark.errors import StarkError, StarkTypeError

__all__ = ["Compilation"]

_COMPILERS = ("g++", "clang++")


class Compilation(Callback):
    """Trains with a classifier that `torch.compile` has made kernels for, and a loss if it has parameters.

    One set of kernels serves batches of every length (``dynamic=True``). Making them took 40 to 60 seconds at the first
    step on two cores, where the steps then were slower than without them. It is meant for GPUs, on which it has not
    been measured. Tolerance: without dropout, the weights of a short fit in float32 are those without it to 1e-4;
    dropout draws other numbers.

    Lifecycle: compiled at ``on_fit_start``, when shapes are final; used from the start to the end of each batch of
    training alone, so that evaluation and scoring need no kernels of their own.

    Raises:
        StarkError: If there is no C++ compiler.

    Examples:
        ```yaml
        trainer:
          callbacks+: callbacks.Compilation
        ```
    """

    def __init__(self) -> None:
        """Nothing is compiled yet."""
        #: What is compiled, with its kernels.
        self._compiled: list[tuple[nn.Module, Any]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare the classifier; kernels are made when it is first called."""
        if not isinstance(pl_module, ClassificationModule):
            raise StarkTypeError(f"Compilation needs a ClassificationModule, {type(pl_module).__name__} is none")
        asked = os.environ.get("CXX")
        if not any(shutil.which(name) for name in ((asked,) if asked else _COMPILERS)):
            raise StarkError(
                f"torch.compile needs a C++ compiler, and there is no {asked or ' or '.join(_COMPILERS)}: install one, "
                "or train without compilation"
            )
        modules: list[nn.Module] = [pl_module.classifier]
        if isinstance(pl_module, DistillationModule) and list(pl_module.loss.parameters()):
            modules.append(pl_module.loss)
        for module in modules:
            module.compile(dynamic=True)
        self._compiled = [(module, module._compiled_call_impl) for module in modules]
        self._switch(on=False)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ANN401
        """Switch to the kernels."""
        self._switch(on=True)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ANN401
        """Switch back."""
        self._switch(on=False)

    def _switch(self, *, on: bool) -> None:
        for module, kernels in self._compiled:
            module._compiled_call_impl = kernels if on else None
