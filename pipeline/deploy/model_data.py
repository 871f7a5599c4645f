"""The data that belong to a model folder: how its rows become inputs, and the task and data of its run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from datamodules import GLUEDataModule, OwnTask, Task, is_description, open_task
from datamodules.tasks.description import with_labels
from pipeline.execution.outputs import read_config
from pipeline.run_folder import RunFolder
from stark.errors import StarkError, StarkFileNotFoundError
from stark.model_folders.foreign import one_line_errors
from stark.model_folders.input_checks import check_inputs
from stark.model_folders.model_folder import labels_of
from stark.model_folders.model_inputs import ModelInputs
from stark.storage import new_file

__all__ = ["check_labels", "config_of", "data_of", "keep_description", "run_of", "settings_of", "task_of", "texts_of"]

# Settings that decide how rows become batches; a model must be used with those of its training.
_SHAPE = ("max_length", "segment_ids")


def run_of(folder: Path) -> Path | None:
    """The run that a folder lies in.

    Args:
        folder: A folder such as ``runs/mrpc/student``, or the run's folder itself.

    Returns:
        The run's folder, such as ``runs/mrpc``; None if the folder lies in no run.
    """
    absolute = folder.resolve()
    for place in (absolute, *absolute.parents):
        if RunFolder(place).is_run:
            return place
    return None


def settings_of(folder: Path) -> dict[str, Any]:
    """The data settings of a run.

    Args:
        folder: Folder of the run, or of a model in it.

    Returns:
        The settings, such as ``{"task": "mrpc", "max_length": 128, ...}``; empty if the folder lies in no run.
    """
    run = run_of(folder)
    return {} if run is None else dict(read_config(run)[1]["data"])


def keep_description(task: Task, run: RunFolder) -> None:
    """Copy the description of a user's task into a run, so that the run's folder suffices to know the task.

    The copy names the labels, even if they were found in train.

    Args:
        task: The run's task; for GLUE's tasks nothing is copied.
        run: The run's folder.
    """
    if isinstance(task, OwnTask):
        with new_file(run.description(str(task.description))) as temporary:
            temporary.write_bytes(with_labels(task.description, task.label_names))


def task_of(folder: Path) -> Task | None:
    """The task of a run, from the description in the run's folder. No data are read.

    Args:
        folder: Folder of the run, or of a model in it.

    Returns:
        The task; None if the folder lies in no run.

    Raises:
        StarkFileNotFoundError: If the run was made by an earlier version, which did not copy the description.
    """
    known = _recorded(folder)
    return None if known is None else open_task(*known)


def texts_of(folder: Path) -> tuple[str, ...] | None:
    """Names of the text columns that a model was trained on.

    Args:
        folder: Folder of a model or of an exported model.

    Returns:
        One or two names, from the model's configuration, or for a model of an earlier version from its run; None if
        neither contains them.
    """
    inputs = ModelInputs.read(config_of(folder))
    if inputs is not None:
        return inputs.texts
    try:
        task = task_of(folder)
    except FileNotFoundError:
        return None
    return None if task is None else task.texts


def config_of(folder: Path) -> PreTrainedConfig:
    """The configuration of a model.

    Args:
        folder: Folder of a model or of an exported model.

    Returns:
        The configuration.

    Raises:
        StarkError: If there is none, or its description of the model's inputs is invalid.
    """
    with one_line_errors(folder):
        config: PreTrainedConfig = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
        ModelInputs.read(config)
    return config


def check_labels(folder: Path, task: Task) -> None:
    """Compare the labels of a model with those of a task, including their order.

    Args:
        folder: Folder of a model or of an exported model.
        task: The task whose rows the model classifies.

    Raises:
        StarkError: If the labels differ.
    """
    names = labels_of(config_of(folder))
    if names != list(task.label_names):
        raise StarkError(
            f"{folder} has the labels {', '.join(names)}, task {task.name!r} has {', '.join(task.label_names)}: name "
            "the task's labels in the model's order, or give the data that the model was trained for"
        )


def data_of(
    folder: Path, task: str | None = None, data_dir: str | None = None, unlabelled: Sequence[str] = ()
) -> GLUEDataModule:
    """The data module with the dev rows that a model is evaluated on, and with the rows of its training.

    Args:
        folder: Folder of a model or of an exported model; its tokenizer is used.
        task: The task; None for the run's task.
        data_dir: Folder of the task's data; None for that of the run.
        unlabelled: Files of rows without labels, in addition to those of the run.

    Returns:
        The data module, with the maximum length and the segment ids of the model's training.

    Raises:
        StarkError: If the task is neither given nor known from a run, the model has other labels, or its embedding
            tables are too small.
        StarkFileNotFoundError: If the data do not exist.
    """
    values = settings_of(folder)
    if task is None and "task" not in values:
        raise StarkError(f"{folder} lies in no run, so that its data are unknown: give --data.task and --data.data_dir")
    if task is None:
        recorded = _recorded(folder)
        assert recorded is not None  # the folder lies in a run
        name, place = recorded
    else:
        # A task's description names its data files.
        name, place = task, None if is_description(task) else values.get("data_dir")
    if data_dir is None and place is not None and not Path(place).expanduser().is_absolute():
        raise StarkFileNotFoundError(
            f"{run_of(folder)} was made by an earlier version, which did not record where {place} lies: give "
            "--data.data_dir"
        )
    config = config_of(folder)
    inputs = ModelInputs.read(config)
    known = values if inputs is None else vars(inputs)
    shape = {key: known[key] for key in _SHAPE if key in known}
    data = GLUEDataModule(
        name,
        data_dir or place,
        str(folder),
        cache_dir=values.get("cache_dir"),
        unlabelled=[*(values.get("unlabelled") or ()), *unlabelled],
        **shape,
    )
    check_labels(folder, data.task)
    check_inputs(config, data.tokenizer, data.max_length, is_pair=data.is_pair, where=str(folder))
    if data.data_dir is not None or is_description(name):  # otherwise the data are on the hub
        try:
            data.digest("dev")
        except FileNotFoundError as error:
            raise StarkFileNotFoundError(f"{error}: give --data.data_dir, the folder that they lie in now") from error
    return data


def _recorded(folder: Path) -> tuple[str, str | None] | None:
    """The arguments of `open_task` for a run: its task and the folder of its data; None if there is no run."""
    run, values = run_of(folder), settings_of(folder)
    if run is None:
        return None
    name, place = str(values["task"]), values.get("data_dir")
    if not is_description(name):
        return name, place
    copy = RunFolder(run).description(name)
    if not copy.is_file() and not Path(name).is_absolute():
        # A file of the same name in the current folder may be another one and is not used.
        raise StarkFileNotFoundError(
            f"{run} was made by an earlier version, which kept no description of its task: copy {Path(name).name} to "
            f"{copy}"
        )
    return str(copy if copy.is_file() else name), place or str(Path(name).parent)
