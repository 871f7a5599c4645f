"""Runs a stage's fit from a YAML file, so that `stark fit --config STAGE/stage.yaml` does the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning import Callback
from pytorch_lightning.accelerators import CUDAAccelerator

from lightning_modules.checkpoints import latest_checkpoint
from pipeline.execution.belongings import remove_own
from pipeline.executors.elsewhere import run_elsewhere
from pipeline.executors.table import open_executor
from pipeline.fits.isolation import stark_command
from pipeline.fits.lightning_cli import StarkCLI
from pipeline.fits.loggers import logger_configs, logging_ends
from pipeline.parsing.plugins import plugin_copies
from pipeline.run_folder import CHECKPOINTS, MODEL, OUTPUT_LOG, STAGE_CONFIG, RunFolder
from pipeline.settings import FitSettings, RunSettings, TrainerSettings
from stark.storage import write_text

__all__ = ["gpus_of", "run_fit"]


def run_fit(
    settings: RunSettings,
    folder: Path,
    fit: FitSettings,
    module: str,
    arguments: dict[str, Any],
    callbacks: Sequence[Callback],
    resume: bool,
    extra: Sequence[dict[str, Any]] = (),
) -> None:
    """Run a fit, or continue it from its latest checkpoint."""
    checkpoint = latest_checkpoint(folder / CHECKPOINTS) if resume else None
    if checkpoint is None:
        remove_own(folder)  # the fit is new, was interrupted before its first checkpoint, or has no intact one
    else:
        remove_own(folder / MODEL)  # exists if the process was killed before the finished stage was recorded
    config = folder / STAGE_CONFIG
    text = yaml.safe_dump(_fit_config(settings, folder, fit, module, arguments, extra), sort_keys=False)
    write_text(config, f"# stark fit --config {config}\n{text}")
    command = ["fit", "--config", str(config), *(["--ckpt_path", str(checkpoint)] if checkpoint is not None else [])]
    if settings.trainer.devices == 1 and not settings.is_shared:
        with logging_ends(settings):
            command_line = StarkCLI(command, callbacks)
        # The parser's classes hold references to this object until the process ends. Clearing it frees the trainer and
        # all its tensors now.
        vars(command_line).clear()
    else:
        # With several devices Lightning starts the other processes by running the command again, which must therefore
        # be the command of this fit alone. With several workers each fit runs in a process and prints to a log file.
        log = folder / OUTPUT_LOG if settings.is_shared else None
        executor = open_executor(settings.executor, settings.slurm, RunFolder(settings.folder).jobs)
        run_elsewhere(
            stark_command(command), log, executor=executor, workers=settings.workers, gpus=gpus_of(settings.trainer)
        )


def gpus_of(trainer: TrainerSettings) -> int:
    """The number of GPUs that a fit uses, as far as this machine knows.

    Args:
        trainer: The run's settings of the trainer.
    """
    return trainer.devices if CUDAAccelerator.is_available() and trainer.accelerator != "cpu" else 0


def _chosen(trainer: TrainerSettings, fit: FitSettings) -> list[str]:
    """Names of the callbacks that settings of the trainer and of the fit ask for."""
    is_graphed = gpus_of(trainer) == 1 if trainer.cuda_graphs == "auto" else trainer.cuda_graphs
    return [
        *(["AveragedWeights"] if fit.weights == "averaged" else []),
        *(["Compilation"] if trainer.compile else []),
        *(["CUDAGraphs"] if is_graphed else []),
    ]


def _epoch(fit: FitSettings, trainer: TrainerSettings) -> dict[str, int]:
    """The number of batches of an epoch, if the length of the fit is given in steps."""
    steps = fit.steps_per_epoch()
    return {} if steps is None else {"batches_per_epoch": steps * trainer.accumulate_grad_batches * trainer.devices}


def _fit_config(
    settings: RunSettings,
    folder: Path,
    fit: FitSettings,
    module: str,
    arguments: dict[str, Any],
    callbacks: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    trainer, loggers = settings.trainer, logger_configs(settings, folder)
    plugins = plugin_copies(settings.plugins, RunFolder(settings.folder).plugins)
    return {
        **({"plugins": [str(copy) for copy in plugins]} if plugins else {}),
        "seed_everything": settings.seed,
        "trainer": {
            "default_root_dir": str(folder),
            "accelerator": trainer.accelerator,
            "devices": trainer.devices,
            "precision": trainer.precision,
            "max_epochs": fit.epochs,
            "gradient_clip_val": trainer.gradient_clip_val,
            "accumulate_grad_batches": trainer.accumulate_grad_batches,
            # No epoch is chosen of a fit with averaged weights, which are validated after its last batch.
            "val_check_interval": trainer.val_check_interval if fit.weights == "best" else None,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            **({"logger": loggers} if loggers else {}),
            "callbacks+": [*callbacks, *({"class_path": f"callbacks.{name}"} for name in _chosen(trainer, fit))],
        },
        "early_stopping": {"patience": fit.patience},
        "step_checkpoint": {"every_n_train_steps": trainer.checkpoint_every_n_steps},
        "model": {"class_path": module, "init_args": arguments},
        "data": {**settings.data, **_epoch(fit, trainer)},
    }
