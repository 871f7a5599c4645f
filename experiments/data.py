"""The data of the experiments on students: tasks described by YAML files, whose parts share no sentence.

SST-2's training rows are phrases of the same sentences. A row that is drawn at random from them for an evaluation is
contained in a training row, or contains one, in most cases; so they are divided by sentence.
"""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from stark.storage import write_text

__all__ = ["TASKS", "groups_of", "write_task"]

_SEED = 0
# Rows of SST-2 that are labelled, and rows of other sentences on which models are measured.
_LABELLED, _HELD_OUT = 10_000, 10_000

Line = tuple[str, ...]
"""One or two texts and a label, or several labels."""

_SEPARATOR = "|"


def groups_of(phrases: Sequence[str]) -> list[int]:
    """Group phrases by the longest phrase that contains them.

    A phrase that no longer one contains begins a group. A phrase that several contain belongs to the longest of them.

    Args:
        phrases: Phrases, words separated by spaces.

    Returns:
        Number of each phrase's group.

    Examples:
        >>> groups_of(["a good film", "good film", "bad", "good"])
        [0, 0, 1, 0]
    """
    words = [phrase.split() for phrase in phrases]
    counts = Counter(word for row in words for word in set(row))
    whole: list[str] = []
    by_word: dict[str, list[int]] = {}
    groups = [0] * len(phrases)
    for place in sorted(range(len(phrases)), key=lambda place: (-len(words[place]), place)):
        padded = f" {' '.join(words[place])} "
        rarest = min(words[place], key=lambda word: (counts[word], word), default="")
        found = next((group for group in by_word.get(rarest, ()) if padded in whole[group]), None)
        if found is None:
            found = len(whole)
            whole.append(padded)
            for word in dict.fromkeys(words[place]):
                by_word.setdefault(word, []).append(found)
        groups[place] = found
    return groups


def _sst2(data: Path) -> dict[str, list[Line]]:
    """Rows of SST-2, divided by sentence; the labels of the rows beyond the first 10,000 are not used."""
    rows = _tab_separated(data / "glue/SST-2/train.tsv")
    groups = groups_of([text for text, _ in rows])
    order = sorted(set(groups))
    random.Random(_SEED).shuffle(order)
    by_group: dict[int, list[Line]] = {}
    for row, group in zip(rows, groups, strict=True):
        by_group.setdefault(group, []).append(row)
    held_out: list[Line] = []
    while len(held_out) < _HELD_OUT:
        held_out += by_group[order.pop()]
    others = [row for group in order for row in by_group[group]]
    random.Random(_SEED).shuffle(others)
    more: list[Line] = [(text, "") for text, *_ in others[_LABELLED:]]
    return {
        "train": others[:_LABELLED],
        "unlabelled": more,
        "dev": held_out,
        "glue_dev": _tab_separated(data / "glue/SST-2/dev.tsv"),
    }


def _clinc150(data: Path) -> dict[str, list[Line]]:
    """CLINC150, with sentences of Wikipedia as rows without labels that are about something else."""
    folder = data / "own/clinc150"
    foreign: list[Line] = [(text, "") for (text,) in _comma_separated(folder / "wikipedia_sentences.csv")]
    parts = {part: _comma_separated(folder / f"{name}.csv") for part, name in (("train", "train"), ("dev", "test"))}
    return {**parts, "unlabelled": foreign}


def _goemotions(data: Path) -> dict[str, list[Line]]:
    """GoEmotions, with one label or several a row."""

    def part(name: str) -> list[Line]:
        text = (data / f"own/goemotions/{name}.jsonl").read_text(encoding="utf-8")
        return [(row["text"], _SEPARATOR.join(row["labels"])) for row in map(json.loads, text.splitlines())]

    return {"train": part("train"), "dev": [*part("dev"), *part("test")]}


def _subj(data: Path) -> dict[str, list[Line]]:
    """SUBJ."""
    parts = {name: _comma_separated(data / f"own/subj/{name}.csv") for name in ("train", "dev", "test")}
    return {"train": parts["train"], "dev": [*parts["dev"], *parts["test"]]}


TASKS: dict[str, tuple[Callable[[Path], dict[str, list[Line]]], dict[str, Any]]] = {
    "sst2": (_sst2, {"metrics": ["accuracy"]}),
    "clinc150": (_clinc150, {"metrics": ["accuracy"]}),
    "goemotions": (_goemotions, {"metrics": ["micro_f1"], "kind": "multi_label", "label_separator": _SEPARATOR}),
    "subj": (_subj, {"metrics": ["accuracy"]}),
}
"""How the rows of a task are read, and what its description says of them. MRPC and STS-B are read from GLUE's files."""


def write_task(name: str, data: Path, folder: Path) -> Path:
    """Write the files of a task and their description.

    Args:
        name: A key of `TASKS`.
        data: Folder of the original data, with ``glue`` and ``own``.
        folder: Folder to write to. Files that are there already are kept.

    Returns:
        Path of the description. Rows without labels are in ``unlabelled.csv``, which it does not name, because not
        every experiment uses them.
    """
    read, more = TASKS[name]
    description = folder / name / f"{name}.yaml"
    if not description.is_file():
        parts = read(data)
        for part, rows in parts.items():
            _write(description.with_name(f"{part}.csv"), rows)
        keys = {"train": "train.csv", "dev": "dev.csv", "text": "text", "label": "label", **more}
        labels = sorted({label for _, cell in parts["train"] for label in cell.split(_SEPARATOR)})
        write_text(description, yaml.safe_dump({**keys, "labels": labels}, sort_keys=False))
    return description


def _write(path: Path, rows: Iterable[Line]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(rows)


def _tab_separated(path: Path) -> list[Line]:
    names: Mapping[str, str] = {"0": "negative", "1": "positive"}
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    return [(text.strip(), names[label]) for text, label in lines]


def _comma_separated(path: Path) -> list[Line]:
    with path.open(encoding="utf-8", newline="") as file:
        return [tuple(row) for row in list(csv.reader(file))[1:]]
