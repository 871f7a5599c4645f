"""Whole training steps as CUDA graphs."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.compilation import Compilation
from lightning_modules.base import ClassificationModule
from lightning_modules.whole_steps import WholeSteps
from stark.errors import StarkTypeError
from stark.forward.replaying import CUDAGraphs as Graphs
from stark.telling import warn_once

__all__ = ["CUDAGraphs"]


_DEVICE = "cuda"
# Hooks between the parts of a step, which a whole step does not call.
_INSIDE = ("on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_before_zero_grad")


class CUDAGraphs(Callback):
    """Replays each training step as one CUDA graph, so that a GPU does not wait for Python to launch its kernels.

    A graph is recorded for each length of batches, after two ordinary steps. It has the forward pass, the loss (with
    the teacher's forward pass if its outputs are not stored), the backward pass, clipping and the optimizer's step.
    Batches are padded to few lengths.

    Tolerance: without dropout, the weights differ from those of a fit without graphs by rounding. With dropout, other
    random numbers are drawn, because of the padding. It has been tested on a CPU, where the steps are recorded as
    functions; its speed on a GPU has not been measured.

    Where a step cannot be recorded, the fit runs without graphs, and a line says why: on other devices than a single
    GPU, in ``16-mixed``, with `Compilation`, with callbacks that read gradients, and with a loss that waits for the
    GPU.

    Lifecycle: ``setup`` installs it, before the optimizer is created; ``teardown`` removes it.

    Examples:
        ```yaml
        trainer:
          callbacks+: callbacks.CUDAGraphs
        ```
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Install the recorder."""
        if stage != "fit":
            return
        if not isinstance(pl_module, ClassificationModule):
            raise StarkTypeError(f"CUDAGraphs needs a ClassificationModule, got {type(pl_module).__name__}")
        if reason := _obstacle(trainer):
            warn_once(f"training without CUDA graphs: {reason}")
            return
        pl_module.whole_steps = WholeSteps(pl_module, Graphs())

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remove the recorder with its graphs."""
        if isinstance(pl_module, ClassificationModule):
            pl_module.whole_steps = None


def _obstacle(trainer: Trainer) -> str:
    """Why the steps of a fit cannot be recorded; empty if they can."""
    if (device := trainer.strategy.root_device.type) != _DEVICE:
        return f"the device is {device}"
    if trainer.world_size > 1:
        return "there are several processes"
    if trainer.precision == "16-mixed":
        return "16-mixed looks at the gradients of each step; choose bf16-mixed"
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Compilation):
            return "the model is compiled"
        for hook in _INSIDE:
            if getattr(type(callback), hook) is not getattr(Callback, hook):
                return f"{type(callback).__name__} has {hook}"
    return ""
