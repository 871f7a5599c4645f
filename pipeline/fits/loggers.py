"""Loggers of a run's fits in addition to CSV, with names that contain run, stage, candidate and seed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.parsing.extras import need_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pipeline.settings import RunSettings
from pipeline.run_folder import RunFolder
from pipeline.settings import Loggers

__all__ = ["log_figures", "logger_configs", "logging_ends", "prepare_loggers"]


_MODULES = {"tensorboard": ("tensorboard",), "wandb": ("wandb",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}
# Classes of pytorch_lightning.loggers.
_CLASSES = {"tensorboard": "TensorBoardLogger", "wandb": "WandbLogger", "mlflow": "MLFlowLogger"}


def prepare_loggers(names: list[Loggers]) -> None:
    """Check that the loggers' packages are installed, before anything is written, and silence W&B.

    Args:
        names: Values of ``trainer.loggers``.

    Raises:
        StarkError: If a package is missing.
    """
    for name in names:
        need_extra(name, f"trainer.loggers {name}", *_MODULES[name], "matplotlib")
    if "wandb" in names:
        # W&B would print twenty lines for every stage; fits in other processes inherit this variable.
        os.environ.setdefault("WANDB_SILENT", "true")


def logger_configs(settings: RunSettings, folder: Path) -> list[dict[str, Any]]:
    """Return the configurations of a fit's loggers for its ``stage.yaml``.

    Args:
        settings: The run's settings.
        folder: Folder of the stage.

    Returns:
        The CSV logger, whose file `stark report` reads, and the other loggers; empty if there are no others.
    """
    names = settings.trainer.loggers
    if not names:
        return []
    csv = {"save_dir": str(folder), "name": "", "version": ""}
    found = [{"class_path": "pytorch_lightning.loggers.CSVLogger", "init_args": csv}]
    stage = folder.relative_to(settings.folder).as_posix()
    for name in names:
        class_path = f"pytorch_lightning.loggers.{_CLASSES[name]}"
        found.append({"class_path": class_path, "init_args": _arguments(name, settings, stage)})
    return found


def _arguments(name: Loggers, settings: RunSettings, stage: str) -> dict[str, Any]:
    folder = RunFolder(settings.folder)
    if name == "tensorboard":
        return {"save_dir": str(folder.tensorboard), "name": stage, "version": ""}
    if name == "wandb":
        # A resumed fit continues the same W&B run.
        identity = f"{settings.name}-{stage}".replace("/", "-")
        shown = {"project": "stark", "group": settings.name, "name": f"{settings.name}/{stage}"}
        return {**shown, "id": identity, "resume": "allow", "save_dir": str(folder.root)}
    place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.mlflow_database.resolve()}"
    files = folder.mlflow_files.resolve().as_uri()
    return {"experiment_name": settings.name, "run_name": stage, "tracking_uri": place, "artifact_location": files}


def log_figures(settings: RunSettings, folder: Path, draw: Callable[[], Mapping[str, Figure]]) -> None:
    """Log figures of a stage that is not a fit.

    Args:
        settings: The run's settings.
        folder: Folder of the stage.
        draw: Function that returns the figures by name; it is not called without loggers.
    """
    if not settings.trainer.loggers:
        return
    # Imported here because it is only needed here and takes seconds.
    from pytorch_lightning import loggers

    stage = folder.relative_to(settings.folder).as_posix()
    figures = draw()
    with logging_ends(settings):
        for name in settings.trainer.loggers:
            logger = getattr(loggers, _CLASSES[name])(**_arguments(name, settings, stage))
            for title, figure in figures.items():
                _log_figure(name, logger, title, figure)
            logger.finalize("success")


@contextmanager
def logging_ends(settings: RunSettings) -> Iterator[None]:
    """Close the loggers at the end of the block; otherwise W&B would add the next stage to the same run.

    Args:
        settings: The run's settings.
    """
    try:
        yield
    finally:
        if "wandb" in settings.trainer.loggers:
            import wandb

            wandb.finish()


def _log_figure(name: Loggers, logger: Any, title: str, figure: Figure) -> None:  # noqa: ANN401 - one of three classes
    if name == "tensorboard":
        logger.experiment.add_figure(title, figure, close=False)
    elif name == "wandb":
        import wandb

        logger.experiment.log({title: wandb.Image(figure)})
    elif name == "mlflow":
        logger.experiment.log_figure(logger.run_id, figure, f"{title}.png")
