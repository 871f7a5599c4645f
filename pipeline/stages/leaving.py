"""The outputs of a stage: a model folder, and figures for the loggers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pipeline.execution.belongings import remove_own
from pipeline.fits.loggers import log_figures
from pipeline.settings import RunSettings
from stark.model_folders.model_folder import save_classifier

__all__ = ["log_pictures", "save_model"]


def save_model(model: PreTrainedModel, folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Save a stage's model; replaces an earlier model of the stage, even a damaged one."""
    remove_own(folder)
    save_classifier(model, folder, tokenizer)


def log_pictures(settings: RunSettings, folder: Path, draw: Callable[[Any], dict[str, Any]]) -> None:
    """Log figures of a stage. The plotting code is imported only if there is a logger for figures."""

    def drawn() -> dict[str, Any]:
        from pipeline.fits import logged_figures

        return draw(logged_figures)

    log_figures(settings, folder, drawn)
