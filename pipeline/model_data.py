"""The data that belong to a model folder: those of the run that it lies in, or those that a command names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datamodules import GLUEDataModule, Task, open_task
from pipeline.run_folder import CONFIG, read_config

__all__ = ["data_of", "run_of", "settings_of", "task_of"]

_MANIFEST = "manifest.json"
# How rows become batches, which a model was trained with.
_SHAPE = ("max_length", "segment_ids")


def run_of(folder: Path) -> Path | None:
    """The run that a folder lies in.

    Args:
        folder: Such as ``runs/mrpc/student``, or the run itself.

    Returns:
        Such as ``runs/mrpc``; None if it lies in none.
    """
    absolute = folder.resolve()
    for place in (absolute, *absolute.parents):
        if (place / CONFIG).is_file() and (place / _MANIFEST).is_file():
            return place
    return None


def settings_of(folder: Path) -> dict[str, Any]:
    """The settings of the data that a model was trained on.

    Args:
        folder: The model's.

    Returns:
        Such as ``{"task": "mrpc", "max_length": 128, ...}``; empty if the folder lies in no run.
    """
    run = run_of(folder)
    return {} if run is None else dict(read_config(run)[1]["data"])


def task_of(folder: Path) -> Task | None:
    """The task that a model was trained for.

    Args:
        folder: The model's.

    Returns:
        None if the folder lies in no run.
    """
    settings = settings_of(folder)
    return open_task(settings["task"], settings.get("data_dir")) if settings else None


def data_of(folder: Path, task: str | None = None, data_dir: str | None = None) -> GLUEDataModule:
    """The data that a model is evaluated on.

    Args:
        folder: The model's, or that of an exported one; its tokenizer is taken.
        task: None for that of the run.
        data_dir: None for that of the run.

    Returns:
        The data, with the lengths and segments of the run that the model lies in.

    Raises:
        ValueError: If the task is neither given nor known from a run.
    """
    values = settings_of(folder)
    if task is None and "task" not in values:
        raise ValueError(f"{folder} lies in no run, so that its data are unknown: give --data.task and --data.data_dir")
    shape = {name: values[name] for name in _SHAPE if name in values}
    chosen, place = task or values["task"], data_dir or values.get("data_dir")
    return GLUEDataModule(chosen, place, str(folder), cache_dir=values.get("cache_dir"), **shape)
