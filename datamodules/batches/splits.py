"""Stratified choice of rows, or of groups of rows: every class keeps its share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from datamodules.batches.grouping import seeded_generator
from datamodules.sources.groups import common_strata
from datamodules.sources.splitting import free_groups, take_groups
from stark.errors import StarkError

__all__ = ["stratified_groups", "stratified_rows"]


def stratified_rows(classes: Sequence[int] | Tensor, size: int, *, seed: int, purpose: str) -> Tensor:
    """Choose rows at random, from each class in proportion to its size.

    Each class gives its share, rounded down; the remaining rows come from the classes with the largest remainders, on a
    tie from the lower class.

    Args:
        classes: Class of each row.
        size: Number of rows to choose.
        seed: Seed of the choice.
        purpose: Name that makes choices with the same seed independent of each other.

    Returns:
        Row numbers in ascending order.

    Raises:
        StarkError: There are fewer rows than that.

    Examples:
        >>> rows = stratified_rows([0, 0, 0, 0, 1, 1], 3, seed=0, purpose="example").tolist()
        >>> sum(row < 4 for row in rows), sum(row >= 4 for row in rows)
        (2, 1)
    """
    if not 0 <= size <= len(classes):
        raise StarkError(f"cannot choose {size} of {len(classes)} rows")
    generator = seeded_generator("rows", purpose, seed)
    classes = torch.as_tensor(classes)
    members = [(classes == name).nonzero()[:, 0] for name in classes.unique()]
    shares = [divmod(len(rows) * size, len(classes)) for rows in members]
    missing = size - sum(whole for whole, _ in shares)
    # sorted() is stable, so the lower class comes first on a tie
    extra = set(sorted(range(len(shares)), key=lambda number: -shares[number][1])[:missing])
    chosen = [torch.empty(0, dtype=torch.int64)]
    for number, (rows, (whole, _)) in enumerate(zip(members, shares, strict=True)):
        order = torch.randperm(len(rows), generator=generator)
        chosen.append(rows[order[: whole + (number in extra)]])
    return torch.cat(chosen).sort().values


def stratified_groups(classes: Tensor, groups: Tensor, size: int, *, seed: int, purpose: str) -> Tensor:
    """Choose whole groups of rows at random, from the groups of each class in proportion to their rows.

    A group counts for its most frequent class, see `take_groups`.

    Args:
        classes: Class of each row.
        groups: Number of each row's group, 0 or more.
        size: Number of rows to choose; about as many are chosen.
        seed: Seed of the choice.
        purpose: Name that makes choices with the same seed independent of each other.

    Returns:
        Row numbers in ascending order.

    Examples:
        >>> groups = torch.tensor([0, 0, 1, 1, 2, 2])
        >>> rows = stratified_groups(torch.tensor([0, 1, 1, 0, 1, 0]), groups, 2, seed=0, purpose="example")
        >>> len(rows), len(groups[rows].unique())
        (2, 1)
    """
    if not len(groups):
        return torch.empty(0, dtype=torch.int64)
    order = torch.randperm(int(groups.max()) + 1, generator=seeded_generator("rows", purpose, seed))
    shuffled = order[groups].tolist()
    free = free_groups(shuffled, common_strata(shuffled, classes.tolist()))
    return torch.tensor(sorted(take_groups(free, size)), dtype=torch.int64)
