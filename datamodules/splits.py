"""Choosing rows so that every class keeps its share."""

from collections.abc import Sequence

import torch

from datamodules.batching import seeded_generator

__all__ = ["score_bins", "stratified_rows"]


def stratified_rows(classes: Sequence[int], size: int, *, seed: int, purpose: str) -> list[int]:
    """Choose rows at random, of each class in proportion.

    Each class gives the whole part of its share; the rows still missing come from the classes with the largest
    remainders, the lower class first on a tie.

    Args:
        classes: class of each row.
        size: how many rows to choose.
        seed: of the choice.
        purpose: separates choices with the same seed from one another.

    Returns:
        Row numbers in rising order.

    Raises:
        ValueError: there are fewer rows.

    Example:
        >>> rows = stratified_rows([0, 0, 0, 0, 1, 1], 3, seed=0, purpose="example")
        >>> sum(row < 4 for row in rows), sum(row >= 4 for row in rows)
        (2, 1)
    """
    if not 0 <= size <= len(classes):
        raise ValueError(f"cannot choose {size} of {len(classes)} rows")
    generator = seeded_generator("rows", purpose, seed)
    members: dict[int, list[int]] = {}
    for row, name in enumerate(classes):
        members.setdefault(name, []).append(row)
    shares = {name: divmod(len(members[name]) * size, len(classes)) for name in sorted(members)}
    missing = size - sum(whole for whole, _ in shares.values())
    # sorted() is stable: on a tie the lower class
    extra = set(sorted(shares, key=lambda name: -shares[name][1])[:missing])
    chosen: list[int] = []
    for name, (whole, _) in shares.items():
        order = torch.randperm(len(members[name]), generator=generator).tolist()
        chosen += [members[name][i] for i in order[: whole + (name in extra)]]
    return sorted(chosen)


def score_bins(scores: Sequence[float], num_bins: int = 10) -> list[int]:
    """Return a class for each score by its rank: bins of equal size, so that they can be stratified.

    Args:
        scores: of a regression task.
        num_bins: how many bins.

    Returns:
        Bin of each row.

    Example:
        >>> score_bins([0.5, 5.0, 2.0, 4.0], num_bins=2)
        [0, 1, 0, 1]
    """
    bins = [0] * len(scores)
    for rank, row in enumerate(sorted(range(len(scores)), key=lambda row: scores[row])):
        bins[row] = rank * num_bins // len(scores)
    return bins
