"""The loss of a run's distillations, for stages that score with it."""

from __future__ import annotations

from pathlib import Path

from torch import nn
from transformers import PreTrainedModel

from pipeline.parsing.objects import build
from pipeline.run_folder import LOSS_WEIGHTS
from pipeline.settings import DistillationSettings
from stark.losses.loss import Loss
from stark.storage import read_tensors

__all__ = ["loss_of", "trained_loss"]


def loss_of(settings: DistillationSettings) -> Loss:
    """Build the loss that the settings describe.

    Args:
        settings: Settings of the distillations.

    Returns:
        The loss in its state before a fit.

    Raises:
        SystemExit: With status 2 if there is no such class, or its settings are wrong.
    """
    return build(Loss, "distillation.loss", settings.loss_config())  # type: ignore[type-abstract]


def trained_loss(settings: DistillationSettings, student: PreTrainedModel, teacher: PreTrainedModel, fit: Path) -> Loss:
    """The loss in its state after a distillation.

    Args:
        settings: Settings of the distillations.
        student: The student that was trained with the loss.
        teacher: The teacher, on the device to score on.
        fit: Folder of the distillation.

    Returns:
        The loss with its trained parameters, on the teacher's device.
    """
    loss = loss_of(settings)
    loss.prepare_(student, teacher)
    if settings.loss is not None:
        loss.load_state_dict(read_tensors(fit / LOSS_WEIGHTS)[0])
    return nn.Module.to(loss, teacher.device).eval()
