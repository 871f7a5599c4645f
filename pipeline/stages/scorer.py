"""What scoring and refitting need: a device, models on that device, rows, and losses of the fits of the models."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pytorch_lightning import Trainer
from torch import nn
from transformers import PreTrainedModel

from callbacks.refitting import refit_on_train_
from callbacks.scoring import scoring_batches
from datamodules import GLUEDataModule
from pipeline.settings import FitSettings, RunSettings
from stark.forward.classifying import Batch
from stark.model_folders.model_folder import load_classifier
from stark.problems.problem import Problem

__all__ = ["data_for_scoring", "on_device", "open_data", "refit_", "scorer"]


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


def open_data(settings: RunSettings, tokenizer: Path, *, use_unlabelled: bool = False) -> GLUEDataModule:
    """The run's rows of train and selection.

    Args:
        settings: The run's settings.
        tokenizer: Folder with the tokenizer.
        use_unlabelled: Whether rows without labels are among those of train.

    Returns:
        The data module, set up.
    """
    given = {**settings.data, "use_unlabelled": use_unlabelled}
    data = GLUEDataModule(model_name_or_path=str(tokenizer), seed=settings.seed, **given)
    data.prepare_data()
    data.setup("fit")
    return data


def refit_(settings: RunSettings, model: PreTrainedModel, dense: Path) -> PreTrainedModel:
    """Refit a cut model on rows of train; see `stark.refitting`.

    Args:
        settings: The run's settings.
        model: The cut model; it is changed.
        dense: Model folder of the model that it was cut from.

    Returns:
        The cut model.
    """
    device = scorer(settings).strategy.root_device
    return refit_on_train_(model, load_classifier(dense), open_data(settings, dense), device)


def data_for_scoring(
    settings: RunSettings, tokenizer: Path, trainer: Trainer, fit: FitSettings, *, use_unlabelled: bool = False
) -> tuple[Iterable[Batch], Problem]:
    """The batches that units are scored on, on the trainer's device, and the losses of a fit.

    Args:
        settings: The run's settings.
        tokenizer: Folder with the tokenizer.
        trainer: Trainer from `scorer`.
        fit: Settings of the fit whose losses the scores are computed from.
        use_unlabelled: Whether rows without labels are among those of train.

    Returns:
        The batches, in a fixed order, and the kind of label with the losses.
    """
    data = open_data(settings, tokenizer, use_unlabelled=use_unlabelled)
    device = trainer.strategy.root_device
    batches = scoring_batches(data, settings.scoring.split, settings.scoring.reduction, device)
    return batches, data.task.problem.for_train(data.train_labels(), fit.class_weights)
