"""torch.compile for the trained classifier."""

from __future__ import annotations

import os
import shutil
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from lightning_modules.base import ClassificationModule
from stark.errors import StarkError, StarkTypeError

__all__ = ["Compilation"]

_COMPILERS = ("g++", "clang++")


class Compilation(Callback):
    """Trains with a classifier that `torch.compile` has made kernels for; all else runs as it is.

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
        self._compiled: Any = None

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
        classifier = pl_module.classifier
        classifier.compile(dynamic=True)
        self._compiled, classifier._compiled_call_impl = classifier._compiled_call_impl, None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ANN401
        """Switch to the kernels."""
        pl_module.classifier._compiled_call_impl = self._compiled  # type: ignore[union-attr]

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ANN401
        """Switch back."""
        pl_module.classifier._compiled_call_impl = None  # type: ignore[union-attr]
