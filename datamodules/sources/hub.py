"""Rows of GLUE's data set, from the hub or from a folder that it was saved to."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.sources.glue_tsv import spelling
from datamodules.sources.loading import from_hub, from_saved
from datamodules.sources.source import Rows, is_score, warn_of_empty_texts
from datamodules.tasks.glue import GLUETask
from stark.errors import StarkError, StarkFileNotFoundError
from stark.storage import file_digest, matching_files

__all__ = ["GLUE_HUB_ID", "HubSource", "SavedSource", "saved_folder"]


GLUE_HUB_ID = "nyu-mll/glue"

_INSTEAD = "a folder can be given as data_dir"


@dataclass(frozen=True)
class HubSource:
    """The ``glue`` data set of the Hugging Face hub.

    Attributes:
        task: The task; its configuration of the data set is read.
    """

    task: GLUETask

    def digest(self, split: str) -> str:
        """Return the fingerprint of the split."""
        return _fingerprint(self._load(split))

    def rows(self, split: str) -> Rows:
        """Return the rows of the split."""
        loaded = self._load(split)
        rows = _hub_rows(loaded, self.task, split, f"{GLUE_HUB_ID}/{self.task.hub_config}")
        return rows._replace(digest=_fingerprint(loaded))

    def _load(self, split: str) -> Any:  # noqa: ANN401 - datasets is not annotated
        return from_hub(GLUE_HUB_ID, self.task.hub_config, _hub_split(self.task, split), instead=_INSTEAD)


@dataclass(frozen=True)
class SavedSource:
    """A ``DatasetDict`` with the columns of the hub's ``glue``, written by ``save_to_disk``.

    Attributes:
        task: The task of the rows.
        folder: Folder of the data set.
    """

    task: GLUETask
    folder: Path

    def digest(self, split: str) -> str:
        """Return the hash of the split's files."""
        folder = self._folder(split)
        names = matching_files(folder, "*.arrow") + matching_files(folder, "dataset_info.json")
        return hashlib.sha256("".join(file_digest(path) for path in names).encode()).hexdigest()

    def rows(self, split: str) -> Rows:
        """Return the rows of the split; raises ValueError if its files change meanwhile."""
        # The files are mapped into memory and not read at once. Only if the digest is the same before and after, the
        # rows are known to come from these bytes.
        before = self.digest(split)
        rows = _hub_rows(from_saved(self._folder(split)), self.task, split, str(self.folder))
        if self.digest(split) != before:
            raise StarkError(f"{self._folder(split)} changed while it was read: give the same command again")
        return rows._replace(digest=before)

    def _folder(self, split: str) -> Path:
        path = self.folder / _hub_split(self.task, split)
        if not path.is_dir():
            raise StarkFileNotFoundError(f"{path}: no such folder (the {split} split of task {self.task.name!r})")
        return path


def saved_folder(folder: Path, task: GLUETask) -> Path | None:
    """Return the ``save_to_disk`` folder of a task: the given folder or one in it; None if there is none."""
    if (folder / "dataset_dict.json").is_file():
        return folder
    if folder.is_dir():
        saved = {spelling(path.parent.name): path.parent for path in sorted(folder.glob("*/dataset_dict.json"))}
        for wanted in task.folders:
            if wanted in saved:
                return saved[wanted]
    return None


def _fingerprint(dataset: Any) -> str:  # noqa: ANN401 - datasets is not annotated
    return str(dataset._fingerprint)


def _hub_split(task: GLUETask, split: str) -> str:
    if split not in task.hub_splits:
        raise StarkFileNotFoundError(f"task {task.name!r} has no {split} split, only {', '.join(task.hub_splits)}")
    return task.hub_splits[split]


def _hub_rows(dataset: Any, task: GLUETask, split: str, where: str) -> Rows:  # noqa: ANN401 - datasets is not annotated
    """Return the rows of a data set that has the hub's columns."""
    labelled = split != "test"
    needed = (*task.texts, *(["label"] if labelled else []))
    if missing := [column for column in needed if column not in dataset.column_names]:
        raise StarkError(
            f"{where}, {task.hub_splits[split]}: no column {missing[0]!r}, {task.name} needs {', '.join(needed)}"
        )
    names = getattr(dataset.features.get("label"), "names", None)
    if labelled and names and tuple(names) != task.label_names:
        raise StarkError(
            f"{where}, {task.hub_splits[split]}: labels are {', '.join(names)}, "
            f"{task.name} needs {', '.join(task.label_names)}"
        )
    if not len(dataset):
        raise StarkError(f"{where}, {task.hub_splits[split]}: no rows in it")
    texts = [dataset[column][:] for column in task.texts]
    place, empty = f"{where}, {task.hub_splits[split]}", set()
    for column, values in zip(task.texts, texts, strict=True):
        for number, text in enumerate(values):
            if not isinstance(text, str):
                raise StarkError(f"{place}, row {number}: {column} is {text!r}, not a text")
            if not text.strip():
                empty.add(number)
    warn_of_empty_texts(place, sorted(empty), "row")
    labels = None
    if labelled:
        # Labels of test are never read: they are -1 for most tasks, but the hub's MRPC has real ones.
        labels = dataset["label"][:]
        for number, label in enumerate(labels):
            if not task.problem.has_classes and not is_score(label):
                raise StarkError(
                    f"{place}, row {number}: score {label!r} is not a number, or not one that a float32 holds"
                )
            if task.problem.has_classes and label not in range(task.num_labels):
                raise StarkError(
                    f"{place}, row {number}: label {label!r} is not one of "
                    f"0 to {task.num_labels - 1} ({', '.join(task.label_names)})"
                )
    counted = list(range(len(texts[0])))
    idx = [int(i) for i in dataset["idx"][:]] if not labelled and "idx" in dataset.column_names else counted
    return Rows(texts[0], texts[1] if task.is_pair else None, labels, idx)
