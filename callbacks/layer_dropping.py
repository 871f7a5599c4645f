"""Layer dropping: the student keeps k of the layers."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer
from transformers import PreTrainedModel

from callbacks.choices import LayerChoice
from callbacks.lifecycle import resumes
from lightning_modules.base import ClassificationModule
from lightning_modules.encoders import drop_layers_, encoder_layers, layers_to_keep

__all__ = ["LayerDropping", "drop_layers"]


def drop_layers(model: PreTrainedModel, layers: int, which: LayerChoice = "first") -> PreTrainedModel:
    """Keep some of a model's layers.

    Args:
        model: The model; it is changed.
        layers: How many layers to keep.
        which: ``first``, ``last`` or ``alternate``.

    Returns:
        The model.

    Raises:
        ValueError: If the model has fewer layers.
    """
    return drop_layers_(model, layers_to_keep(len(encoder_layers(model)), layers, which))


class LayerDropping(Callback):
    """Drops layers of the trained classifier before training starts.

    Lifecycle: ``setup`` drops, as in `Pruning`; a resumed fit gets its shape from the
    checkpoint.

    Source: the paper's layer-dropped students; GeneZC/StarK `--student_layer` (the first k layers).

    Args:
        layers: How many layers to keep.
        which: ``first``, ``last`` or ``alternate``.

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
            raise TypeError(f"LayerDropping needs a ClassificationModule, {type(pl_module).__name__} is none")
        pl_module.classifier = drop_layers(pl_module.classifier, self.layers, self.which)
