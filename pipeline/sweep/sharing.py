"""What a trial need not train again, because an earlier trial has done it with the same settings."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.execution.manifest import Manifest
from pipeline.run_folder import RunFolder
from stark.storage import is_file, new_folder

__all__ = ["share_stages"]

# Parts of the settings on which no stage that is shared depends.
_OF_STUDENTS = ("student.", "distillation.", "teacher.", "search.", "scoring.")


def share_stages(folder: Path, values: Mapping[str, Any], earlier: Iterable[tuple[Path, Mapping[str, Any]]]) -> None:
    """Begin the run of a trial with copies of what an earlier trial trained before its student.

    These are the stages that need no other stage: the finetuning of the teacher, and the simple alternatives. Their
    records are copied, too, so that the run itself decides, as in every run, whether settings, data and encoder are
    those that they were made with, and trains them again otherwise.

    Args:
        folder: Folder of the trial's run; if it is a run already, nothing is done.
        values: The trial's values of the settings to search over.
        earlier: Folders and values of other trials, finished or not. Those that differ in a setting of the teacher are
            not used.
    """
    if is_file(RunFolder(folder).manifest):
        return
    for run, others in earlier:
        if _of_teacher(others) != _of_teacher(values) or not is_file(RunFolder(run).manifest):
            continue
        places = RunFolder(run)
        records = {
            name: record
            for name, record in Manifest.read(run).stages.items()
            if record.finished and name in (places.finetune.name, places.alternatives.name)
        }
        if places.finetune.name in records:
            with new_folder(folder) as begun:
                for name in records:
                    shutil.copytree(run / name, begun / name)
                Manifest(begun, records).write()
            return


def _of_teacher(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.startswith(_OF_STUDENTS)}
