"""The stage that finetunes the encoder, which becomes the dense teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback

from pipeline.settings import RunSettings
from pipeline.stages.fit import run_fit

__all__ = ["finetune"]


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
    arguments = {"model_name_or_path": settings.model_name_or_path, **fit.optimization()}
    extra = [] if expected is None else [{"class_path": "callbacks.ExpectedModel", "init_args": dict(expected)}]
    run_fit(settings, folder, fit, "lightning_modules.FinetuningModule", arguments, callbacks, resume, extra)
