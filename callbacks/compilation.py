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
    """Compiles the trained classifier with `torch.compile`, and the loss if it has parameters.

    One set of kernels serves batches of every length (``dynamic=True``). On two cores, compilation took 40 to 60
    seconds at the first step, and later steps were slower than without it. It is meant for GPUs; its speed there has
    not been measured. Tolerance: without dropout, the weights after a short fit in float32 differ by at most 1e-4 from
    those of an uncompiled fit. With dropout, other random numbers are drawn.

    Lifecycle: ``on_fit_start`` compiles, when shapes are final. The compiled kernels are used only from the start to
    the end of each training batch, so that nothing is compiled for evaluation and scoring.

    Raises:
        StarkError: If there is no C++ compiler.

    Examples:
        ```yaml
        trainer:
          callbacks+: callbacks.Compilation
        ```
    """

    def __init__(self) -> None:
        """Start without compiled modules."""
        #: Compiled modules, each with its kernels.
        self._compiled: list[tuple[nn.Module, Any]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare the classifier; its kernels are compiled at its first call."""
        if not isinstance(pl_module, ClassificationModule):
            raise StarkTypeError(f"Compilation needs a ClassificationModule, got {type(pl_module).__name__}")
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
        """Switch to the compiled kernels."""
        self._switch(on=True)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ANN401
        """Switch back to the uncompiled modules."""
        self._switch(on=False)

    def _switch(self, *, on: bool) -> None:
        for module, kernels in self._compiled:
            module._compiled_call_impl = kernels if on else None
