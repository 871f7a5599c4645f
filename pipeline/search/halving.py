"""Successive halving: which candidates continue, and for how many epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

__all__ = ["best_of", "halving_epochs", "survivors"]


_Key = TypeVar("_Key")


def best_of(values: Mapping[_Key, float], number: int = 1) -> list[_Key]:
    """The keys of the highest values; among equal values the earlier ones.

    Args:
        values: Values by key.
        number: Number of keys.

    Returns:
        The keys in their order in ``values``.

    Examples:
        >>> best_of({"a": 0.5, "b": 0.7, "c": 0.5}, 2)
        ['a', 'b']
    """
    chosen = set(sorted(values, key=lambda key: -values[key])[:number])
    return [key for key in values if key in chosen]


def halving_epochs(candidates: int, epochs: int, eta: int) -> list[int]:
    r"""The epochs after which successive halving compares the candidates and drops the worse ones.

    $r = \lceil \log_\eta k \rceil$ rounds reduce k candidates to one; round i, counted from 0, ends after
    $e / \eta^{r - i}$ epochs, rounded, but after at least 1. Rounds that would end at the same epoch are merged.

    Source: Jamieson and Talwalkar, 2016, with epochs as the resource.

    Args:
        candidates: Number k of candidates.
        epochs: Number e of epochs of a whole distillation.
        eta: Each round keeps one of this many candidates.

    Returns:
        Ascending numbers of epochs, all below e.

    Examples:
        >>> halving_epochs(candidates=5, epochs=10, eta=2)
        [1, 2, 5]
        >>> halving_epochs(candidates=5, epochs=2, eta=2)
        [1]
    """
    rounds, left = 0, candidates
    while left > 1:
        rounds, left = rounds + 1, survivors(left, eta)
    ends = {max(1, round(epochs / eta**later)) for later in range(1, rounds + 1)}
    return sorted(end for end in ends if end < epochs)


def survivors(candidates: int, eta: int) -> int:
    """The number of candidates that a round of halving keeps: one of ``eta``, rounded up.

    Examples:
        >>> survivors(5, 2)
        3
    """
    return math.ceil(candidates / eta)
