"""The check of a sparsity's range, without importing torch."""

from __future__ import annotations

from stark.errors import StarkError

__all__ = ["check_sparsity"]


def check_sparsity(sparsity: float) -> float:
    """Return the sparsity if it is a fraction in [0, 1).

    Args:
        sparsity: Fraction of units to remove.

    Returns:
        The same value.

    Raises:
        StarkError: Otherwise.

    Examples:
        >>> check_sparsity(70)
        Traceback (most recent call last):
        stark.errors.StarkError: sparsity is 70: give the fraction of units to remove, at least 0 and below 1 (0.7 ...
    """
    if not 0 <= sparsity < 1:
        hint = f" ({sparsity / 100:g} for {sparsity:g} %)" if 1 < sparsity < 100 else ""
        raise StarkError(
            f"sparsity is {sparsity:g}: give the fraction of units to remove, at least 0 and below 1{hint}"
        )
    return sparsity
