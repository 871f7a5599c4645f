"""Layer dropping: the student keeps only some of its layers."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.lifecycle import resumes
from lightning_modules.base import ClassificationModule
from stark.choices import LayerChoice
from stark.encoders.layer_dropping import drop_layers
from stark.errors import StarkTypeError

__all__ = ["LayerDropping"]


class LayerDropping(Callback):
    """Drops layers of the trained classifier before training starts.

    Lifecycle: ``setup`` drops the layers, as in `Pruning`; a resumed fit gets its shape from the checkpoint.

    Source: the paper's layer-dropped students; GeneZC/StarK `--student_layer` (the first k layers).

    Args:
        layers: Number of layers to keep.
        which: Choice of these layers: ``first``, ``last`` or ``alternate``.

    Examples:
        ```yaml
        trainer:
          callbacks+:
            class_path: callbacks.LayerDropping
            init_args: {layers: 4}
        ```
    """

    def __init__(self, layers: int, which: LayerChoice = "first") -> None:
        """Store the settings."""
        self.layers = layers
        self.which: LayerChoice = which

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Drop the layers of a fresh fit's classifier."""
        if stage != "fit" or resumes(trainer):
            return
        if not isinstance(pl_module, ClassificationModule):
            raise StarkTypeError(f"LayerDropping needs a ClassificationModule, got {type(pl_module).__name__}")
        pl_module.classifier = drop_layers(pl_module.classifier, self.layers, self.which)
