"""The stage that finetunes the encoder, which becomes the dense teacher."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback

from datamodules import GLUEDataModule
from pipeline.results.alarms import teacher_alarms
from pipeline.results.measure import evaluate, module_of
from pipeline.run_folder import MODEL
from pipeline.settings import RunSettings
from pipeline.stages.fit import run_fit

__all__ = ["finetune"]

_log = logging.getLogger(__name__)


def finetune(
    settings: RunSettings,
    folder: Path,
    callbacks: Sequence[Callback],
    resume: bool = False,
    expected: Mapping[str, Any] | None = None,
) -> None:
    """Finetune the encoder, and write the dense teacher to ``folder/model``.

    Args:
        settings: The run's settings.
        folder: Folder of the stage.
        callbacks: Callbacks that watch the fit.
        resume: Whether to continue an interrupted fit from its latest checkpoint.
        expected: Arguments of `ExpectedModel`, which checks the loaded encoder; None for no check.
    """
    fit = settings.finetuning
    arguments = {"model_name_or_path": settings.model_name_or_path, **fit.training()}
    extra = [] if expected is None else [{"class_path": "callbacks.ExpectedModel", "init_args": dict(expected)}]
    run_fit(settings, folder, fit, "lightning_modules.FinetuningModule", arguments, callbacks, resume, extra)
    for line in _alarms(settings, folder / MODEL):
        _log.warning("warning: %s", line)


def _alarms(settings: RunSettings, teacher: Path) -> list[str]:
    """What is wrong with the teacher, before students are distilled from it for hours."""
    data = GLUEDataModule(model_name_or_path=str(teacher), seed=settings.seed, **settings.data)
    module = module_of(teacher, data)
    found, metric = evaluate(module, data, settings, "selection"), module.problem.score_function(data.score_metrics)
    given = settings.finetuning.epochs == 0
    return teacher_alarms(found.said, found.labels, module.problem, metric, given=given)
