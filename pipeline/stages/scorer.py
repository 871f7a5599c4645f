"""What scoring needs: a device, models on that device, batches, and the losses that the models were trained with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pytorch_lightning import Trainer
from torch import nn
from transformers import PreTrainedModel

from callbacks.scoring import scoring_batches
from datamodules import GLUEDataModule
from pipeline.settings import FitSettings, RunSettings
from stark.forward.classifying import Batch
from stark.model_folders.model_folder import load_classifier
from stark.problems.problem import Problem

__all__ = ["data_for_scoring", "on_device", "scorer"]


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


def data_for_scoring(
    settings: RunSettings, tokenizer: Path, trainer: Trainer, fit: FitSettings
) -> tuple[Iterable[Batch], Problem]:
    """The batches that units are scored on, on the trainer's device, and the losses of a fit.

    Args:
        settings: The run's settings.
        tokenizer: Folder with the tokenizer.
        trainer: Trainer from `scorer`.
        fit: Settings of the fit whose losses the scores are computed from.

    Returns:
        The batches, in a fixed order, and the kind of label with the losses.
    """
    data = GLUEDataModule(model_name_or_path=str(tokenizer), seed=settings.seed, **settings.data)
    data.prepare_data()
    data.setup("fit")
    device = trainer.strategy.root_device
    batches = scoring_batches(data, settings.scoring.split, settings.scoring.reduction, device)
    return batches, data.task.problem.for_train(data.train_labels(), fit.class_weights)
