"""Choosing a task's source of rows: original files, the hub's data set, a folder saved from it, or a user's files."""

from pathlib import Path

from datamodules.sources.glue_files import TSVSource
from datamodules.sources.glue_tsv import find_folder
from datamodules.sources.hub import HubSource, SavedSource, saved_folder
from datamodules.sources.own import OwnSource
from datamodules.sources.source import Source
from datamodules.tasks.glue import GLUETask
from datamodules.tasks.own import OwnTask
from datamodules.tasks.task import Task

__all__ = ["open_source"]


def open_source(task: Task, data_dir: str | None) -> Source:
    """Return the source of a task's rows.

    Args:
        task: The task whose rows are read.
        data_dir: A folder of original files or one written by ``save_to_disk``, or a folder that contains such a folder
            under the task's name; None for the hub's data set. A user-defined task names its files itself.

    Returns:
        The source; it reads nothing yet.

    Raises:
        StarkFileNotFoundError: ``data_dir`` has no data of this task.
    """
    if isinstance(task, OwnTask):
        return OwnSource(task)
    assert isinstance(task, GLUETask)  # there is no third kind
    if data_dir is None:
        return HubSource(task)
    folder = Path(data_dir).expanduser()
    if saved := saved_folder(folder, task):
        return SavedSource(task, saved)
    return TSVSource(task, find_folder(folder, task))
