"""Choosing rows so that every class keeps its share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from datamodules.batches.grouping import seeded_generator
from stark.errors import StarkError

__all__ = ["stratified_rows"]


def stratified_rows(classes: Sequence[int] | Tensor, size: int, *, seed: int, purpose: str) -> Tensor:
    """Choose rows at random, of each class in proportion.

    Each class gives the whole part of its share; the rows still missing come from the classes with the largest
    remainders, the lower class first on a tie.

    Args:
        classes: Class of each row.
        size: How many rows to choose.
        seed: Seed of the choice.
        purpose: Separates choices with the same seed from one another.

    Returns:
        Row numbers in rising order.

    Raises:
        StarkError: There are fewer rows.

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
    # sorted() is stable: on a tie the lower class
    extra = set(sorted(range(len(shares)), key=lambda number: -shares[number][1])[:missing])
    chosen = [torch.empty(0, dtype=torch.int64)]
    for number, (rows, (whole, _)) in enumerate(zip(members, shares, strict=True)):
        order = torch.randperm(len(rows), generator=generator)
        chosen.append(rows[order[: whole + (number in extra)]])
    return torch.cat(chosen).sort().values
