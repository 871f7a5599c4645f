"""Which split of a data set is which part of a task, where nobody has said so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from datamodules.sources.dataset import dataset_lines
from datamodules.tasks.dataset_split import DatasetSplit
from stark.errors import StarkError

__all__ = ["parts_of", "parts_text", "train_of"]

_TRAIN, _TEST = "train", "test"
# Rows for choices in their data set; as dev they are only reported on, as choices use a part of train.
_VALIDATION = ("validation", "valid", "val", "dev")


def train_of(dataset: str, names: Sequence[str]) -> DatasetSplit:
    """Return the split that is trained on: train, or the only one.

    Args:
        dataset: Path of the data set's folder, or its id on the hub.
        names: Names of its splits.

    Raises:
        StarkError: There are several, and none is train.

    Examples:
        >>> train_of("SetFit/subj", ["test", "train"]).split
        'train'
    """
    if _TRAIN not in names and len(names) > 1:
        raise StarkError(
            f"{dataset} has the splits {', '.join(names)}, of which none is train: write a YAML that names dataset, "
            "train, dev, text and label"
        )
    return DatasetSplit(dataset, None, _TRAIN if _TRAIN in names else names[0])


def parts_of(train: DatasetSplit, names: Sequence[str], label: str, held_out: float) -> dict[str, object]:
    """Return the splits as a description names them.

    dev, which is only reported on and never used for a choice, is the validation split, or else the test split if it
    has labels, or else a fraction of train. A test split that is not dev is test, of which no label is read.

    Args:
        train: The split that is trained on.
        names: Names of the data set's splits.
        label: Column of the label.
        held_out: Fraction of train that is dev where no split is.
    """
    others = [name for name in names if name != train.split]
    parts: dict[str, object] = {_TRAIN: train.split}
    validation = next((name for name in _VALIDATION if name in others), None)
    if validation is not None:
        parts["dev"] = validation
    elif _TEST in others and _has_labels(replace(train, split=_TEST), label):
        return parts | {"dev": _TEST}
    else:
        parts["split"] = {"dev": held_out}
    return parts | ({_TEST: _TEST} if _TEST in others else {})


def parts_text(parts: Mapping[str, object]) -> str:
    """Return in words which split is which part.

    Args:
        parts: What `parts_of` returns, perhaps with other keys of a description.

    Examples:
        >>> parts_text({"train": "train", "dev": "validation"})
        'train: train, dev: validation'
        >>> parts_text({"train": "all", "split": {"dev": 0.1}})
        'train: all, dev: 10 % of train'
    """
    split = parts.get("split")
    own = [f"dev: {100 * split['dev']:g} % of train"] if isinstance(split, dict) else []
    return ", ".join([*(f"{part}: {parts[part]}" for part in ("train", "dev", "test") if part in parts), *own])


def _has_labels(split: DatasetSplit, label: str) -> bool:
    """Whether a row of a split has a label; the test splits of some data sets have none."""
    with dataset_lines(split) as lines:
        return any(json.loads(line).get(label) not in (None, "") for line in lines)
