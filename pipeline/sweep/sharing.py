"""What a trial need not train again, because an earlier trial has done it with the same settings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.execution.manifest import Manifest
from pipeline.run_folder import CHECKPOINTS, RunFolder
from stark.storage import is_file, new_folder

__all__ = ["Teachers", "share_stages"]

# Parts of the settings on which no stage that is shared depends.
_OF_STUDENTS = ("student.", "distillation.", "teacher.", "search.", "scoring.")


class Teachers:
    """Which trial trains which teacher, so that the others wait for it instead of training the same one."""

    def __init__(self) -> None:
        """Begin without trials."""
        self._trainers: dict[str, Path] = {}

    def claim(self, folder: Path, values: Mapping[str, Any]) -> None:
        """Let a trial that begins train its teacher, unless an earlier one does.

        Args:
            folder: Folder of the trial's run.
            values: The trial's values of the settings to search over.
        """
        self._trainers.setdefault(_key(values), folder)

    def awaited(self, folder: Path, values: Mapping[str, Any]) -> Path | None:
        """The run that still trains the teacher of a trial.

        Args:
            folder: Folder of the trial's run.
            values: The trial's values of the settings to search over.

        Returns:
            Folder of that run; None if the trial need not wait.
        """
        trainer = self._trainers.setdefault(_key(values), folder)
        return None if trainer == folder or _has_teacher(trainer) else trainer

    def release(self, folder: Path) -> None:
        """Let no trial wait for one that has ended.

        Args:
            folder: Folder of its run.
        """
        self._trainers = {key: trainer for key, trainer in self._trainers.items() if trainer != folder}


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
                    # The earlier trial may be about to remove its checkpoints, as a finished stage does.
                    shutil.copytree(run / name, begun / name, ignore=shutil.ignore_patterns(CHECKPOINTS))
                Manifest(begun, records).write()
            return


def _key(values: Mapping[str, Any]) -> str:
    return json.dumps(_of_teacher(values), sort_keys=True)


def _has_teacher(run: Path) -> bool:
    """Whether a run has finetuned its teacher; the last step is the removal of its checkpoints."""
    places = RunFolder(run)
    if not is_file(places.manifest):
        return False
    record = Manifest.read(run).stages.get(places.finetune.name)
    return record is not None and record.finished and not places.finetune.checkpoints.path.exists()


def _of_teacher(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.startswith(_OF_STUDENTS)}
