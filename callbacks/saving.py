"""Saving: the best classifier of a fit becomes a model folder."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_info

from callbacks.lifecycle import load_best
from datamodules import OwnTask, TextDataModule
from lightning_modules.base import ClassificationModule
from lightning_modules.distillation import DistillationModule
from stark.errors import StarkTypeError
from stark.model_folders.model_folder import check_free, save_classifier
from stark.model_folders.model_inputs import ModelInputs, lowercases
from stark.storage import write_tensors

__all__ = ["LOSS_WEIGHTS", "SaveModelFolder", "inputs_of"]

LOSS_WEIGHTS = "loss.safetensors"
"""Name of the file with the distillation loss's parameters, in the folder of its fit."""


class SaveModelFolder(Callback):
    """Writes ``model/`` under ``trainer.default_root_dir`` when a fit ends: the checkpoint with the best ``val/score``.

    Parameters of the distillation loss, if it has any, are written to ``loss.safetensors`` next to ``model/``.
    Without a best checkpoint (no epoch was trained, no checkpoint callback), the module's current weights are written.
    The folder loads with ``load_classifier`` and, after ``import stark``, with transformers.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check before the training, not after it, that the folder may be written."""
        if stage == "fit" and trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            check_free(Path(trainer.default_root_dir) / "model")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load the best weights and save them."""
        if not isinstance(pl_module, ClassificationModule):
            raise StarkTypeError(f"SaveModelFolder needs a ClassificationModule, got {type(pl_module).__name__}")
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        load_best(trainer, pl_module)
        if trainer.is_global_zero:
            folder = save_classifier(
                pl_module.classifier,
                Path(trainer.default_root_dir) / "model",
                pl_module.tokenizer,
                inputs_of(trainer, pl_module),
            )
            rank_zero_info(f"Saved the classifier to {folder}")
            if isinstance(pl_module, DistillationModule) and (state := pl_module.loss.state_dict()):
                write_tensors(folder.parent / LOSS_WEIGHTS, {name: values.cpu() for name, values in state.items()})


def inputs_of(trainer: Trainer, module: ClassificationModule) -> ModelInputs | None:
    """How a fit prepares its rows.

    Args:
        trainer: The trainer.
        module: The trained module.

    Returns:
        The settings that are saved with the model; None if the data module is not a `TextDataModule`.
    """
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, TextDataModule):
        return None
    return ModelInputs(
        max_length=data.max_length,
        segment_ids=data.segment_ids,
        texts=data.task.texts,
        kind=data.task.problem.kind,
        lowercase=lowercases(module.tokenizer),
        task=data.task.name,
        separator=data.task.separator if isinstance(data.task, OwnTask) else None,
    )
