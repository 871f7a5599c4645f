"""Descriptions of user-defined tasks: a YAML file that names the files of rows and the meaning of the columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from datamodules.tasks.dataset_split import DatasetSplit, is_hub_id
from datamodules.tasks.record_format import RecordFormat, record_format
from datamodules.tasks.task import SPLITS
from stark.errors import StarkError, StarkFileNotFoundError
from stark.storage import compose_yaml

__all__ = ["Description", "is_description", "read_description", "with_labels"]


_REQUIRED = ("train", "text", "label")
_COLUMNS = ("text", "text_pair", "label", "group")
_SEVERAL, _SEPARATOR = "multi_label", "label_separator"
_DATASET, _CONFIG = "dataset", "config"
_FORMAT = ("delimiter", "quoting", "encoding", "header")
_KEYS = (
    *("train", "dev", "text", "label", "labels", "test", "split", "unlabelled", "text_pair", "kind", "metrics"),
    *("group", _SEPARATOR, _DATASET, _CONFIG, *_FORMAT),
)
_LISTS = ("labels", "metrics", "unlabelled")
_MAPPINGS = ("labels", "split")
_PARTS = ("dev", "test")
_USUAL_TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))
# Texts that YAML reads as null if they are not in quotation marks.
_NULLS = ("", "~", "null", "Null", "NULL")
_COUNT = re.compile(r"[1-9][0-9]{0,11}")
_FRACTION = re.compile(r"0?\.[0-9]{1,15}")
_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a user's YAML file says of a task; see `read_own_task` for its keys.

    Attributes:
        path: Path of the YAML file.
        lines: Line of each key in it.
        files: File of each split that exists; of a part of train it is train's.
        formats: Format of each of these files.
        unlabelled: Files of rows without labels, with their formats; may be empty.
        sizes: Size of dev and of test where they are parts of train: a number of rows if it is an integer, else a
            fraction of train's rows that have a label.
        texts: Columns of the texts.
        label: Column of the label; where a row may have several, it may also be one column of 1 and 0 for each label.
        group: Column whose value is the same in rows that belong together; None if there is none.
        separator: What separates the labels of a row in their column; None if they are a list.
        labels: Name of each value of that column, in the order of the ids; None if they are to be found in train.
        kind: Name of the kind of label, if it is given, or said by columns of 1 and 0 or by a separator.
        metrics: Names of the metrics; may be empty.
    """

    path: Path
    lines: Mapping[str, int]
    files: Mapping[str, Path]
    formats: Mapping[str, RecordFormat]
    unlabelled: tuple[tuple[Path, RecordFormat], ...]
    sizes: Mapping[str, float]
    texts: tuple[str, ...]
    label: str | tuple[str, ...]
    group: str | None
    separator: str | None
    labels: Mapping[str, str] | None
    kind: str | None
    metrics: tuple[str, ...]

    def error(self, key: str, message: object) -> StarkError:
        """Return the error of a key's value, with file and line.

        Args:
            key: A key of the file.
            message: What is wrong, and what to do.
        """
        return StarkError(f"{self.path}, line {self.lines[key]}: {message}")


def is_description(name: str) -> bool:
    """Return whether a task's name is the path of a YAML file that describes the task."""
    return name.endswith(_ENDINGS)


def read_description(path: Path, data_dir: str | None = None) -> Description:
    """Read the description of a task; whether labels and metrics fit each other is not checked.

    Args:
        path: Path of the YAML file.
        data_dir: Folder of the files that it names; None for the YAML's folder.

    Returns:
        The description; no file of rows is read.

    Raises:
        StarkError: The file is not a valid description; the message names file and line.

    Examples:
        >>> import tempfile
        >>> text = "{train: a.csv, dev: b.csv, text: body, label: stars, labels: {0: bad, 1: good}}"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "reviews.yaml").write_text(text)
        ...     description = read_description(Path(folder, "reviews.yaml"))
        >>> description.texts, description.label, description.labels
        (('body',), 'stars', {'0': 'bad', '1': 'good'})
    """
    entries = _entries(path)
    for key, entry in entries.items():
        if key not in _KEYS:
            raise StarkError(f"{path}, line {entry.line}: unknown key {key!r}, choose out of {', '.join(_KEYS)}")
        is_mapping = isinstance(entry.value, dict)
        is_list = isinstance(entry.value, list)
        fits = is_list == (key in _LISTS) or (is_list and key == "label")
        if (is_mapping and key not in _MAPPINGS) or (not is_mapping and (not fits or key == "split")):
            kinds = {
                **{"a list": _LISTS, "a file": SPLITS, "a column": _COLUMNS, "a word": ("kind", _SEPARATOR, *_FORMAT)},
                "a name": (_DATASET, _CONFIG),
                "a mapping such as {dev: 0.1, test: 0.1}": ("split",),
            }
            kind = next(kind for kind, keys in kinds.items() if key in keys)
            raise StarkError(f"{path}, line {entry.line}: {key} is {entry.value!r}, not {kind}")
    for key in _REQUIRED:
        if key not in entries:
            raise StarkError(f"{path}: no {key}, it needs {', '.join(_REQUIRED)} and dev")
    values: dict[str, Any] = {key: entry.value for key, entry in entries.items()}
    sizes = _sizes(path, entries)
    if "dev" not in {*entries, *sizes}:
        raise StarkError(f"{path}: no dev: name its file, or take a part of train for it by split: {{dev: 0.1}}")
    columns = tuple(values["label"]) if isinstance(values["label"], list) else None
    folder = path.parent if data_dir is None else Path(data_dir).expanduser()
    named = {split: "train" if split in sizes else split for split in SPLITS if split in {*entries, *sizes}}
    dataset = _dataset(path, entries, folder)
    if dataset is None:
        files = {split: folder / values[key] for split, key in named.items()}
        formats = {split: _format(path, entries, key, values[key]) for split, key in named.items()}
    else:
        places = {split: DatasetSplit(dataset, values.get(_CONFIG), values[key]) for split, key in named.items()}
        files = {split: place.path for split, place in places.items()}
        formats = {split: RecordFormat(json_lines=True, dataset=place) for split, place in places.items()}
    return Description(
        path=path,
        lines={key: entry.line for key, entry in entries.items()},
        files=files,
        formats=formats,
        unlabelled=tuple(
            (folder / name, _format(path, entries, "unlabelled", name)) for name in values.get("unlabelled", ())
        ),
        sizes=sizes,
        texts=tuple(values[key] for key in ("text", "text_pair") if key in values),
        label=columns or values["label"],
        group=values.get("group"),
        separator=values.get(_SEPARATOR),
        labels=_all_labels(path, entries, columns),
        kind=_kind(path, entries),
        metrics=tuple(values.get("metrics", ())),
    )


def with_labels(path: Path, labels: Sequence[str]) -> bytes:
    """Return a description that names its labels.

    Args:
        path: Path of the YAML file.
        labels: Labels that were found in train.

    Returns:
        The file's content, byte for byte, if it names the labels itself; else the same keys and these labels.
    """
    entries = _entries(path)
    if "labels" in entries:
        return path.read_bytes()
    values = {key: entry.value for key, entry in entries.items()}
    # PyYAML writes some characters wrongly if it may write others than those of ASCII, such as NEL.
    return yaml.safe_dump({**values, "labels": list(labels)}, sort_keys=False).encode()


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
        raise StarkError(f"{path} is no description of a task: it needs {', '.join(_REQUIRED)} and dev")
    entries: dict[str, _Entry] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        try:
            key = _word(key_node)
            if key in entries:
                raise StarkError(f"the key {key!r} is there twice")
            _refuse_tags(value_node)
            if isinstance(value_node, yaml.MappingNode) and key in _MAPPINGS:
                entries[key] = _Entry(_words(value_node, key), line)
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


def _words(node: yaml.MappingNode, key: str) -> dict[str, str]:
    """Return a key's mapping of words."""
    found: dict[str, str] = {}
    for key_node, value_node in node.value:
        code = _word(key_node)
        if code in found or _is_null(key_node) or _is_null(value_node):
            raise StarkError(
                f"{key}: {code!r} is there twice, or there is a null: name each one once, and put a null in quotes"
            )
        found[code] = _word(value_node)
    return found


def _sizes(path: Path, entries: Mapping[str, _Entry]) -> dict[str, float]:
    """Return the size of each part of train."""
    if "split" not in entries:
        return {}
    entry, sizes = entries["split"], dict[str, float]()
    assert isinstance(entry.value, dict)  # read_description has checked it
    for part, size in entry.value.items():
        wrong = ""
        if part not in _PARTS:
            wrong = "choose out of dev and test; the other rows are train"
        elif part in entries:
            wrong = f"the key {part} names a file for it: remove one of both"
        elif _COUNT.fullmatch(size):
            sizes[part] = int(size)
        elif _FRACTION.fullmatch(size) and float(size) > 0:
            sizes[part] = float(size)
        else:
            wrong = f"{size!r} is neither a fraction between 0 and 1 nor a number of rows"
        if wrong:
            raise StarkError(f"{path}, line {entry.line}: split, {part}: {wrong}")
    if not sizes or sum(size for size in sizes.values() if isinstance(size, float)) >= 1:
        raise StarkError(f"{path}, line {entry.line}: split is {entry.value}: give fractions whose sum is below 1")
    return sizes


def _dataset(path: Path, entries: Mapping[str, _Entry], folder: Path) -> str | None:
    """Return the folder or the hub id of the data set that has the splits; None if they are files."""
    wrong = [key for key in _FORMAT if key in entries] if _DATASET in entries else [_CONFIG]
    for key in wrong:
        if key in entries:
            what = (
                f"is for files, but {_DATASET} names" if _DATASET in entries else f"is without {_DATASET}, the name of"
            )
            raise StarkError(f"{path}, line {entries[key].line}: {key} {what} a data set: remove one of both")
    if _DATASET not in entries:
        return None
    entry = entries[_DATASET]
    place = folder / Path(str(entry.value)).expanduser()
    if place.is_dir():
        return str(place)
    if not is_hub_id(str(entry.value)):
        raise StarkFileNotFoundError(
            f"{path}, line {entry.line}: {place}: no such folder, and {entry.value!r} is no id of the hub such as "
            "SetFit/subj"
        )
    return str(entry.value)


def _labels(path: Path, entry: _Entry) -> dict[str, str]:
    """Return the name of each value of the label column."""
    assert not isinstance(entry.value, str)  # read_description has checked it
    names = list(entry.value.values() if isinstance(entry.value, dict) else entry.value)
    if not names or len(set(names)) < len(names):
        raise StarkError(f"{path}, line {entry.line}: labels are {names}: name each one once")
    return dict(zip(entry.value, names, strict=True))


def _all_labels(path: Path, entries: Mapping[str, _Entry], columns: Sequence[str] | None) -> dict[str, str] | None:
    """Return the labels that a description says; of columns of 1 and 0 the columns, which it may name otherwise."""
    found = _labels(path, entries["labels"]) if "labels" in entries else None
    if columns is None:
        return found
    if not columns or len(set(columns)) < len(columns):
        raise StarkError(f"{path}, line {entries['label'].line}: label is {list(columns)}: name each column once")
    if found is not None and tuple(found) != tuple(columns):
        raise StarkError(
            f"{path}, line {entries['labels'].line}: labels are {', '.join(found)}, and the columns of label "
            f"{', '.join(columns)}: leave labels out, or map each column to a name, in the same order"
        )
    return found or dict(zip(columns, columns, strict=True))


def _kind(path: Path, entries: Mapping[str, _Entry]) -> str | None:
    """Return the kind of label; a separator and columns of 1 and 0 say it as well."""
    given = str(entries["kind"].value) if "kind" in entries else None
    sayers = [key for key in (_SEPARATOR, "label") if key in entries and (key == _SEPARATOR or _is_list(entries[key]))]
    if not sayers:
        return given
    if given not in (None, _SEVERAL):
        raise StarkError(
            f"{path}, line {entries['kind'].line}: kind is {given!r}, but {sayers[0]} is for rows with several labels: "
            f"remove one of both, or choose {_SEVERAL}"
        )
    if len(sayers) > 1 or not entries[sayers[0]].value:
        raise StarkError(
            f"{path}, line {entries[_SEPARATOR].line}: {_SEPARATOR} is {entries[_SEPARATOR].value!r}: give what is "
            "between the labels of a row, such as |, where label is one column"
        )
    return _SEVERAL


def _is_list(entry: _Entry) -> bool:
    return isinstance(entry.value, list)


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


def _format(path: Path, entries: Mapping[str, _Entry], split: str, name: str) -> RecordFormat:
    """Return the format of a file of a split."""
    given: dict[str, Any] = {key: entries[key].value for key in _FORMAT if key in entries}
    line = entries[split].line
    try:
        if "header" in given:
            if given["header"].lower() not in ("true", "false"):
                raise StarkError(f"header is {given['header']!r}: choose true or false")
            given["header"] = given["header"].lower() == "true"
        return record_format(name, **given)
    except ValueError as error:
        line = next((entries[key].line for key in given if str(error).startswith(f"{key} is")), line)
        raise StarkError(f"{path}, line {line}: {error}") from error
