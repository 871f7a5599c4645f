"""Dividing the rows of one file into train, dev and test, so that rows that belong together stay together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from datamodules.sources.cells import in_file
from datamodules.sources.groups import common_strata, groups_of
from datamodules.sources.source import Rows
from datamodules.tasks.own import OwnTask
from stark.errors import StarkError
from stark.telling import warn_once

__all__ = ["divide", "free_groups", "split_rows", "take_groups"]

# Maximum number of labels that a warning names.
_MOST_NAMES = 5


def divide(rows: Rows, task: OwnTask) -> dict[str, list[int]]:
    """Divide the rows of train into parts, and tell once how many rows each part has and which labels it lacks.

    Args:
        rows: All rows of the file, with their labels, and with their groups if the task has a column of groups.
        task: The task; it gives the sizes of the parts.

    Returns:
        Row numbers of each part, as `split_rows` gives them.

    Raises:
        StarkError: As for `split_rows`; the message names the file.
    """
    # Imported here because it takes seconds and is not needed to open a source.
    import torch

    name, path, problem = task.description.name, task.files["train"], task.problem
    labels = torch.tensor(rows.labels, dtype=problem.label_dtype)
    labelled = problem.is_labelled(labels).nonzero().flatten()
    strata: list[int | None] = [None] * len(labels)
    for row, stratum in zip(labelled.tolist(), problem.strata(labels[labelled]).tolist(), strict=True):
        strata[row] = stratum
    if rows.groups is None:
        texts = zip(*([rows.text_a] if rows.text_b is None else [rows.text_a, rows.text_b]), strict=True)
        groups = groups_of(list(texts))
    else:
        groups, strata = rows.groups, common_strata(rows.groups, strata)
    with in_file(path):
        parts = split_rows(groups, strata, task.sizes)
    train, *others = (f"{len(chosen):,}" for chosen in parts.values())
    told = ", ".join(f"{number} of {part}" for number, part in zip(others, task.sizes, strict=True))
    warn_once(f"{name}: {path.name} split into {train} rows of train, {told}")
    if rows.groups is not None:
        whole = ", ".join(f"{len({groups[row] for row in chosen}):,} of {part}" for part, chosen in parts.items())
        warn_once(f"{name}: groups of rows with the same {task.group}, none of which is divided: {whole}")
    for part, chosen in parts.items() if problem.has_classes else ():
        known, found = (problem.memberships(labels[rows]).any(0) for rows in (labelled, torch.tensor(chosen)))
        if missing := (known & ~found).nonzero().flatten().tolist():
            more = f" and {len(missing) - _MOST_NAMES} more" if len(missing) > _MOST_NAMES else ""
            names = ", ".join(repr(task.label_names[label]) for label in missing[:_MOST_NAMES])
            warn_once(f"{name}: the split leaves {part} no row of {names}{more}, which {path.name} has")
    return parts


def split_rows(groups: Sequence[int], strata: Sequence[int | None], sizes: Mapping[str, float]) -> dict[str, list[int]]:
    """Divide rows into train and other parts, without dividing a group; only the rows decide, and no seed.

    The groups of a stratum are ordered by their numbers. dev takes them from the beginning and test from the end, so
    that few rows change their part when rows are added. A group is taken if this brings the number of rows taken from
    this stratum and the ones before nearer to their share. A group with an unlabelled row stays in train.

    Args:
        groups: Number of each row's group, as `groups_of` gives them.
        strata: Number of each row's stratum, such as its class; None for a row without a label. A group with several
            counts for the lowest one.
        sizes: Size of dev, of test, or of both: an integer is a number of rows, another number a fraction of the rows
            that have a label.

    Returns:
        Row numbers of train and of the parts, ascending.

    Raises:
        StarkError: A part would have no rows, or train would have none with a label.

    Examples:
        >>> parts = split_rows(groups_of([["a"], ["b"], ["A "], ["c"], ["d"]]), [0, 0, 0, 0, 0], {"dev": 2})
        >>> len(parts["dev"]), (0 in parts["dev"]) == (2 in parts["dev"])
        (2, True)
    """
    free = free_groups(groups, strata)
    labelled = sum(stratum is not None for stratum in strata)
    parts: dict[str, list[int]] = {"train": []}
    for part, size in sizes.items():
        rows = size if isinstance(size, int) else round(size * labelled)
        taken = take_groups(free, rows, from_end=part == "test")
        if not taken:
            raise StarkError(
                f"split.{part} is {size}, which of {labelled} rows with a label makes no row: give more rows to it, or "
                f"name a file for {part}"
            )
        parts[part] = sorted(taken)
    elsewhere = {row for rows in parts.values() for row in rows}
    parts["train"] = [row for row in range(len(groups)) if row not in elsewhere]
    if all(strata[row] is None for row in parts["train"]):
        raise StarkError(f"split takes all {labelled} rows with a label, and leaves none of them to train on")
    return parts


def free_groups(groups: Sequence[int], strata: Sequence[int | None]) -> dict[int, list[list[int]]]:
    """The groups all of whose rows have a label.

    Args:
        groups: Number of each row's group.
        strata: Number of each row's stratum; None for a row without a label.

    Returns:
        The rows of each group, in the order of the groups' numbers, by the lowest stratum of their rows.
    """
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    free: dict[int, list[list[int]]] = {}
    for group in sorted(members):
        known = [stratum for row in members[group] if (stratum := strata[row]) is not None]
        if len(known) == len(members[group]):
            free.setdefault(min(known), []).append(members[group])
    return free


def take_groups(free: dict[int, list[list[int]]], size: int, *, from_end: bool = False) -> list[int]:
    """Take about this number of rows out of the groups of all strata, in proportion to their rows.

    What one stratum gives too much or too little is made up for in the next one, so that the errors do not add up.

    Args:
        free: The groups, as `free_groups` gives them; those that are taken are removed.
        size: Number of rows.
        from_end: Whether the last groups of a stratum are taken instead of the first ones.

    Returns:
        The rows that are taken.
    """
    total = sum(len(group) for groups in free.values() for group in groups)
    taken: list[int] = []
    seen = 0
    for stratum in sorted(free):
        seen += sum(map(len, free[stratum]))
        kept = []
        for group in reversed(free[stratum]) if from_end else free[stratum]:
            # The share of the strata so far is size * seen / total rows; in integers nothing is rounded.
            lacking = size * seen - len(taken) * total
            if 2 * lacking > len(group) * total:
                taken += group
            else:
                kept.append(group)
        free[stratum] = kept[::-1] if from_end else kept
    return taken
