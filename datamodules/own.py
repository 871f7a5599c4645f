"""People's own tasks: a YAML file that says where their rows lie and what their columns mean."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from datamodules.records import BadRecord, Record, read_records, record_format
from datamodules.tasks import SPLITS, Task, find_task
from datamodules.tsv import Rows, parse_label
from storage import file_digest

__all__ = ["OwnSource", "OwnTask", "is_description", "open_task", "read_own_task"]

_REQUIRED = ("train", "dev", "text", "label", "labels")
_KEYS = (*_REQUIRED, "test", "text_pair", "metrics")
_ENDINGS = (".yaml", ".yml")
_METRICS = ("accuracy", "f1", "matthews_corrcoef")
_METRICS_OF_SCORES = ("pearson", "spearmanr")


@dataclass(frozen=True, kw_only=True)
class OwnTask(Task):
    """A task that a file describes; ``texts`` are the columns of its files.

    Attributes:
        files: of each split that exists.
        label: column of the label.
    """

    files: Mapping[str, Path]
    label: str


@dataclass(frozen=True)
class OwnSource:
    """CSV, TSV or JSON lines files.

    Attributes:
        task: whose files.
    """

    task: OwnTask

    def digest(self, split: str) -> str:
        """Return what identifies the content of a split: the file, and what its columns mean."""
        meaning = (self.task.texts, self.task.label, self.task.label_names, self.task.metrics)
        return hashlib.sha256(f"{file_digest(self._file(split))} {meaning}".encode()).hexdigest()

    def rows(self, split: str) -> Rows:
        """Return the rows of a split; the labels of test are not read."""
        path, task, labelled = self._file(split), self.task, split != "test"
        ids = {} if task.is_regression else {name: number for number, name in enumerate(task.label_names)}
        texts: tuple[list[str], ...] = tuple([] for _ in task.texts)
        labels: list[float] = []
        with path.open("rb") as stream:
            try:
                for row in read_records(stream, record_format(path.name)):
                    for column, known in zip(task.texts, texts, strict=True):
                        known.append(_text(row, column))
                    if labelled:
                        labels.append(_label(row, task, ids))
            except ValueError as error:
                raise ValueError(f"{path}, {error}" if str(error).startswith("line") else f"{path}: {error}") from error
        if not texts[0]:
            raise ValueError(f"{path}: no rows in it (the {split} split of task {task.name!r})")
        pair = texts[1] if task.is_pair else None
        return Rows(texts[0], pair, labels if labelled else None, list(range(len(texts[0]))))

    def _file(self, split: str) -> Path:
        if split not in self.task.files:
            raise FileNotFoundError(f"task {self.task.name!r} has no {split} split, only {', '.join(self.task.splits)}")
        path = self.task.files[split]
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file (the {split} split of task {self.task.name!r})")
        return path


def open_task(name: str, data_dir: str | None = None) -> Task:
    """Return GLUE's task of a name, or the one that a YAML file describes.

    Args:
        name: such as ``mrpc`` or ``reviews.yaml``.
        data_dir: where the files that a YAML names lie; None for its own folder.

    Raises:
        ValueError: there is no such task, or the file is wrong.
    """
    return read_own_task(Path(name), data_dir) if is_description(name) else find_task(name)


def is_description(name: str) -> bool:
    """Return whether a task's name is that of a YAML file which describes it."""
    return name.endswith(_ENDINGS)


def read_own_task(path: Path, data_dir: str | None = None) -> OwnTask:
    """Read the description of a task.

    It has the keys ``train``, ``dev`` and perhaps ``test`` (files: .csv, .tsv or .jsonl), ``text`` and perhaps
    ``text_pair`` (columns), ``label`` (column), ``labels`` (what stands in it, in the order of the ids; a single one is
    the name of a score) and perhaps ``metrics`` (out of accuracy, f1, which is that of the second of two labels,
    matthews_corrcoef; for scores pearson, spearmanr).

    Args:
        path: of the YAML file; the task's name is its own without the ending.
        data_dir: where the files lie; None for the YAML's folder.

    Returns:
        The task; no file is read yet.

    Raises:
        ValueError: it is no such description.

    Examples:
        >>> import tempfile
        >>> text = "{train: a.csv, dev: b.csv, text: body, label: stars, labels: [bad, good]}"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "reviews.yaml").write_text(text)
        ...     task = read_own_task(Path(folder, "reviews.yaml"))
        >>> task.name, task.texts, task.metrics, task.splits
        ('reviews', ('body',), ('accuracy',), ('train', 'dev'))
    """
    values = _values(path)
    for key in values:
        if key not in _KEYS:
            raise ValueError(f"{path}: unknown key {key!r}, choose out of {', '.join(_KEYS)}")
    for key in _REQUIRED:
        if values.get(key) is None:
            raise ValueError(f"{path}: no {key}, it needs {', '.join(_REQUIRED)}")
    for key in ("train", "dev", "test", "text", "text_pair", "label"):
        if not isinstance(values.get(key, ""), str | None):
            raise ValueError(f"{path}: {key} is {values[key]!r}, not a {'file' if key in SPLITS else 'column'}")
    labels = tuple(map(str, _listed(values, "labels", path)))
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"{path}: labels are {list(labels)}: name each one once")
    known = _METRICS_OF_SCORES if len(labels) == 1 else _METRICS if len(labels) == 2 else (_METRICS[0], _METRICS[2])
    metrics = tuple(map(str, _listed(values, "metrics", path))) or (known if len(labels) == 1 else known[:1])
    for metric in metrics:
        if metric not in known:
            raise ValueError(
                f"{path}: metric {metric!r} is not for {len(labels)} labels, choose out of {', '.join(known)}"
            )
    folder = path.parent if data_dir is None else Path(data_dir).expanduser()
    files = {split: folder / values[split] for split in SPLITS if values.get(split) is not None}
    for file in files.values():
        record_format(file.name)  # refuses other endings
    texts = tuple(values[key] for key in ("text", "text_pair") if values.get(key) is not None)
    return OwnTask(
        name=path.stem,
        splits=tuple(files),
        texts=texts,
        label_names=labels,
        metrics=metrics,
        submission_file=f"{path.stem}.tsv",
        submission_words=True,
        files=files,
        label=values["label"],
    )


def _values(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file (a description of a task)")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is no description of a task: it needs {', '.join(_REQUIRED)}")
    return values


def _listed(values: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    found = values.get(key)
    if found is not None and not isinstance(found, list):
        raise ValueError(f"{path}: {key} is {found!r}, not a list")
    return found or []


def _text(row: Record | BadRecord, column: str) -> str:
    if isinstance(row, BadRecord):
        raise ValueError(f"line {row.line}: {row.reason}")
    if column not in row.values:
        raise ValueError(f"line {row.line}: no column {column!r}, only {', '.join(row.values)}")
    text = row.values[column]
    if not isinstance(text, str):
        raise ValueError(f"line {row.line}: {column} is {text!r}, not a text")
    return text


def _label(row: Record | BadRecord, task: OwnTask, ids: Mapping[str, int]) -> float:
    assert isinstance(row, Record)  # its texts were there
    if task.label not in row.values:
        raise ValueError(f"line {row.line}: no column {task.label!r}, only {', '.join(row.values)}")
    try:
        return parse_label(str(row.values[task.label]), ids)
    except ValueError as error:
        raise ValueError(f"line {row.line}: {error}") from error
