"""What scoring needs: a device, models on that device, and batches."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pytorch_lightning import Trainer
from torch import nn
from transformers import PreTrainedModel

from callbacks.scoring import scoring_batches
from datamodules import GLUEDataModule
from pipeline.settings import RunSettings
from stark.forward.classifying import Batch
from stark.model_folders.model_folder import load_classifier

__all__ = ["batches_for_scoring", "on_device", "scorer"]


def scorer(settings: RunSettings) -> Trainer:
    """A trainer that is used only to choose the device for scoring."""
    return Trainer(
        accelerator=settings.trainer.accelerator,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def on_device(trainer: Trainer, teacher: Path, student: Path) -> tuple[PreTrainedModel, PreTrainedModel]:
    """Load a teacher and its student on the trainer's device."""
    first, second = (load_classifier(folder) for folder in (teacher, student))
    device = trainer.strategy.root_device
    return nn.Module.to(first, device), nn.Module.to(second, device)


def batches_for_scoring(settings: RunSettings, tokenizer: Path, trainer: Trainer) -> Iterable[Batch]:
    """The batches that units are scored on, on the trainer's device.

    Args:
        settings: The run's settings.
        tokenizer: Folder with the tokenizer.
        trainer: Trainer from `scorer`.

    Returns:
        The batches, in a fixed order.
    """
    data = GLUEDataModule(model_name_or_path=str(tokenizer), seed=settings.seed, **settings.data)
    data.prepare_data()
    data.setup("fit")
    return scoring_batches(data, settings.scoring.split, settings.scoring.reduction, trainer.strategy.root_device)
