"""User-defined tasks: a YAML file that names the files of their rows and the meaning of the columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from datamodules.tasks.glue import find_task
from datamodules.tasks.record_format import RecordFormat, record_format
from datamodules.tasks.task import SPLITS, Task
from stark.errors import StarkError, StarkFileNotFoundError
from stark.problems.score_names import score_names
from stark.storage import compose_yaml

__all__ = ["OwnTask", "is_description", "open_task", "read_own_task"]


_REQUIRED = ("train", "dev", "text", "label", "labels")
_COLUMNS = ("text", "text_pair", "label")
_FORMAT = ("delimiter", "quoting", "encoding", "header")
_KEYS = (*_REQUIRED, "test", "text_pair", "kind", "metrics", *_FORMAT)
_LISTS = ("labels", "metrics")
_USUAL_TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))
# Texts that YAML reads as null if they are not in quotation marks.
_NULLS = ("", "~", "null", "Null", "NULL")
_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class OwnTask(Task):
    """A task that a file describes; ``texts`` are the columns of its files.

    Attributes:
        files: File of each split that exists.
        formats: Format of each of these files.
        label: Column of the label.
    """

    files: Mapping[str, Path]
    formats: Mapping[str, RecordFormat]
    label: str
    codes: tuple[str, ...]


def open_task(name: str, data_dir: str | None = None) -> Task:
    """Return GLUE's task of a name, or the one that a YAML file describes.

    Args:
        name: Such as ``mrpc`` or ``reviews.yaml``.
        data_dir: Folder of the files that the YAML names; None for the YAML's folder.

    Raises:
        StarkError: There is no such task, or the file is wrong.
    """
    return read_own_task(Path(name), data_dir) if is_description(name) else find_task(name)


def is_description(name: str) -> bool:
    """Return whether a task's name is the path of a YAML file that describes the task."""
    return name.endswith(_ENDINGS)


def read_own_task(path: Path, data_dir: str | None = None) -> OwnTask:
    """Read the description of a task.

    The YAML file has these keys:

    - ``train``, ``dev`` and optionally ``test``: files, which are .csv, .tsv or .jsonl, or compressed, such as .csv.gz.
    - ``text`` and optionally ``text_pair``: columns of the texts.
    - ``label``: column of the label.
    - ``labels``: the values of the label column, in the order of the ids; a single value is the name of a score. A
      mapping names coded labels: ``{0: ham, 1: spam}``.
    - optionally ``kind``: the kind of label, which is classification, regression, or a registered one.
    - optionally ``metrics``: some of accuracy, f1 (of the second of two labels), macro_f1, weighted_f1,
      balanced_accuracy and matthews_corrcoef; for scores pearson and spearmanr, and the errors mae and rmse.

    The format of the files is found from their endings and content. If that is not right, set ``delimiter`` (a
    character), ``quoting`` (none: quotation marks are text, and each line is a row; standard: a quoted field may span
    lines), ``encoding`` (such as latin-1; default: UTF-8, or UTF-16 with its byte order mark) or ``header: false`` (the
    first line is a row; the columns are then called 0, 1, ...).

    All values are read as text, exactly as they are written: ``no`` is no, ``01`` is 01, ``1.10`` is 1.10. JSON's true
    and 1.0 are the texts true and 1.0.

    Args:
        path: Path of the YAML file; the task's name is the file's name without the ending.
        data_dir: Folder of the files; None for the YAML's folder.

    Returns:
        The task; no file of rows is read yet.

    Raises:
        StarkError: The file is not a valid description; the message names file and line.

    Examples:
        >>> import tempfile
        >>> text = "{train: a.csv, dev: b.csv, text: body, label: stars, labels: [no, yes]}"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "reviews.yaml").write_text(text)
        ...     task = read_own_task(Path(folder, "reviews.yaml"))
        >>> task.name, task.texts, task.label_names, task.metrics, task.splits
        ('reviews', ('body',), ('no', 'yes'), ('accuracy',), ('train', 'dev'))
    """
    entries = _entries(path)
    for key, entry in entries.items():
        if key not in _KEYS:
            raise StarkError(f"{path}, line {entry.line}: unknown key {key!r}, choose out of {', '.join(_KEYS)}")
        is_mapping = isinstance(entry.value, dict)
        if (is_mapping and key != "labels") or (not is_mapping and isinstance(entry.value, list) != (key in _LISTS)):
            kinds = {"a list": _LISTS, "a file": SPLITS, "a column": _COLUMNS, "a word": ("kind", *_FORMAT)}
            kind = next(kind for kind, keys in kinds.items() if key in keys)
            raise StarkError(f"{path}, line {entry.line}: {key} is {entry.value!r}, not {kind}")
    for key in _REQUIRED:
        if key not in entries:
            raise StarkError(f"{path}: no {key}, it needs {', '.join(_REQUIRED)}")
    values: dict[str, Any] = {key: entry.value for key, entry in entries.items()}
    coded = values["labels"]
    labels = tuple(coded.values() if isinstance(coded, dict) else coded)
    if not labels or len(set(labels)) < len(labels):
        raise StarkError(f"{path}, line {entries['labels'].line}: labels are {list(labels)}: name each one once")
    # Imported here because it imports torch, which is not needed to read a command's options.
    from stark.problems.table import problem_for

    try:
        problem = problem_for(labels, values.get("kind"))
    except StarkError as error:
        raise StarkError(f"{path}, line {entries['kind'].line}: {error}") from error
    known = problem.metrics
    metrics = tuple(values.get("metrics", ())) or problem.default_metrics
    for metric in metrics:
        if metric not in known:
            raise StarkError(
                f"{path}, line {entries['metrics'].line}: metric {metric!r} is not for {len(labels)} labels, choose "
                f"out of {', '.join(known)}"
            )
    try:
        score_names(metrics)
    except StarkError as error:
        raise StarkError(f"{path}, line {entries['metrics'].line}: {error}") from error
    folder = path.parent if data_dir is None else Path(data_dir).expanduser()
    files = {split: folder / values[split] for split in SPLITS if split in values}
    return OwnTask(
        name=path.stem,
        splits=tuple(files),
        texts=tuple(values[key] for key in ("text", "text_pair") if key in values),
        label_names=labels,
        kind=values.get("kind"),
        metrics=metrics,
        submission_file=f"{path.stem}.tsv",
        submission_words=True,
        files=files,
        formats={split: _format(path, entries, split) for split in files},
        label=values["label"],
        codes=tuple(coded),
    )


class _Entry(NamedTuple):
    """A key's value as written in the file, and the line of the key."""

    value: str | list[str] | dict[str, str]
    line: int


def _entries(path: Path) -> dict[str, _Entry]:
    """Return the values of a description's keys, without keys whose value is null."""
    if not path.is_file():
        raise StarkFileNotFoundError(f"{path}: no such file (a description of a task)")
    try:
        node = compose_yaml(path.read_bytes().decode("utf-8"), yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StarkError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(node, yaml.MappingNode):
        raise StarkError(f"{path} is no description of a task: it needs {', '.join(_REQUIRED)}")
    entries: dict[str, _Entry] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        try:
            key = _word(key_node)
            if key in entries:
                raise StarkError(f"the key {key!r} is there twice")
            _refuse_tags(value_node)
            if isinstance(value_node, yaml.MappingNode) and key == "labels":
                entries[key] = _Entry(_words(value_node), line)
                continue
            if not isinstance(value_node, yaml.SequenceNode):
                if not _is_null(value_node):
                    entries[key] = _Entry(_word(value_node), line)
                continue
            if nulls := [item for item in value_node.value if _is_null(item)]:
                line = nulls[0].start_mark.line + 1
                raise StarkError(f"an item of {key} is null: if it is a word, put it in quotation marks")
            entries[key] = _Entry([_word(item) for item in value_node.value], line)
        except ValueError as error:
            raise StarkError(f"{path}, line {line}: {error}") from error
    return entries


def _words(node: yaml.MappingNode) -> dict[str, str]:
    """Return a mapping of words."""
    found: dict[str, str] = {}
    for key_node, value_node in node.value:
        code = _word(key_node)
        if code in found or _is_null(key_node) or _is_null(value_node):
            raise StarkError(
                f"labels name {code!r} twice, or have a null: name each code once, and put a null in quotes"
            )
        found[code] = _word(value_node)
    return found


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULLS


def _word(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise StarkError("there is a list or a mapping where a word belongs")
    _refuse_tags(node)
    return str(node.value)


def _refuse_tags(node: yaml.Node) -> None:
    if node.tag not in _USUAL_TAGS:
        raise StarkError(f"there is a tag ({node.tag}), but all values are words")


def _format(path: Path, entries: Mapping[str, _Entry], split: str) -> RecordFormat:
    """Return the format of a split's file."""
    given: dict[str, Any] = {key: entries[key].value for key in _FORMAT if key in entries}
    line = entries[split].line
    try:
        if "header" in given:
            if given["header"].lower() not in ("true", "false"):
                raise StarkError(f"header is {given['header']!r}: choose true or false")
            given["header"] = given["header"].lower() == "true"
        return record_format(str(entries[split].value), **given)
    except ValueError as error:
        line = next((entries[key].line for key in given if str(error).startswith(f"{key} is")), line)
        raise StarkError(f"{path}, line {line}: {error}") from error
