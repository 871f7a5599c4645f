"""Hugging Face data sets as users' own rows, which are read as JSON lines."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from datamodules.sources.loading import from_hub, from_saved
from datamodules.tasks.dataset_split import DatasetSplit
from stark.errors import StarkFileNotFoundError

__all__ = ["class_names", "dataset_lines", "dataset_state", "split_names", "write_lines"]

_SAVED, _SAVED_SPLIT = "dataset_dict.json", "state.json"
_ONLY = "train"
_ROWS = 1000
_INSTEAD = "there is no such folder here; if the hub does not answer, give a folder with the data set's files instead"


def write_lines(rows: Iterable[Mapping[str, Any]], stream: BinaryIO) -> None:
    """Write rows as lines of JSON, and go back to the first one.

    A missing number (NaN) is null, as pandas marks missing values in this way. Values that JSON does not have, such as
    dates, become texts.

    Args:
        rows: The rows.
        stream: A file that can be sought.
    """
    for row in rows:
        known = {name: None if value != value else value for name, value in row.items()}
        stream.write(f"{json.dumps(known, ensure_ascii=False, default=str)}\n".encode())
    stream.seek(0)


@contextmanager
def dataset_lines(place: DatasetSplit) -> Iterator[BinaryIO]:
    """Turn the rows of a split into lines of JSON, the first row into line 1.

    A class (``ClassLabel``) becomes its name, and one that is -1 null; a list of classes becomes a list of names.

    Args:
        place: The split.

    Yields:
        The lines, in a temporary file.

    Raises:
        StarkFileNotFoundError: There is no such split, or the data set cannot be loaded.
    """
    with tempfile.TemporaryFile() as kept:
        write_lines(_named_rows(_split(place)), cast(BinaryIO, kept))
        yield cast(BinaryIO, kept)


def dataset_state(place: DatasetSplit) -> str:
    """Return what changes when the rows of a split change, without reading them.

    Args:
        place: The split.
    """
    return str(_split(place)._fingerprint)


def split_names(dataset: str) -> list[str]:
    """Return the names of a data set's splits.

    Args:
        dataset: Path of the data set's folder, or its id on the hub.

    Raises:
        StarkFileNotFoundError: It cannot be loaded.
    """
    return list(_loaded(dataset, None))


def class_names(place: DatasetSplit, column: str) -> tuple[str, ...]:
    """Return the names of the classes that a column has, in the data set's order.

    Args:
        place: The split.
        column: Name of the column.

    Returns:
        The names; empty if the column is not one of classes, or of lists of classes.
    """
    return tuple(_classes(_split(place).features.get(column)) or ())


def _split(place: DatasetSplit) -> Any:  # noqa: ANN401 - datasets is not annotated
    splits = _loaded(place.dataset, place.config)
    if place.split not in splits:
        raise StarkFileNotFoundError(
            f"{place.dataset} has no split {place.split!r}, only {', '.join(splits)}: name one of these"
        )
    return splits[place.split]


def _loaded(dataset: str, config: str | None) -> Mapping[str, Any]:
    folder = Path(dataset)
    if not folder.is_dir():
        return _of_hub(dataset, config)
    if (folder / _SAVED).is_file():
        return cast(Mapping[str, Any], from_saved(folder))
    if (folder / _SAVED_SPLIT).is_file():
        return {_ONLY: from_saved(folder)}
    return cast(Mapping[str, Any], from_hub(dataset, config, instead=_INSTEAD))


# Each look-up asks the hub; with one per process all parts are of the same revision, too.
@functools.lru_cache(maxsize=4)
def _of_hub(dataset: str, config: str | None) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], from_hub(dataset, config, instead=_INSTEAD))


def _named_rows(dataset: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - datasets is not annotated
    """Return rows with the names of classes in the place of their numbers."""
    classes = {column: names for column, feature in dataset.features.items() if (names := _classes(feature))}
    for table in dataset.with_format("arrow").iter(_ROWS):
        for row in table.to_pylist():
            yield {name: _named(value, classes[name]) if name in classes else value for name, value in row.items()}


def _classes(feature: Any) -> list[str] | None:  # noqa: ANN401 - datasets is not annotated
    return getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)


def _named(value: Any, names: list[str]) -> Any:  # noqa: ANN401 - a value of Arrow
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    return None if value is None or value < 0 else names[value]
