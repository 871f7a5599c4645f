"""The schedule by which a student is cut in several steps while it is distilled."""

from __future__ import annotations

__all__ = ["cut_steps", "gradual_sparsities", "uncut_share"]


def gradual_sparsities(sparsity: float, cuts: int) -> list[float]:
    r"""The sparsity after each cut: $s_k = s (1 - (1 - k / n)^3)$, so that the first cuts remove most.

    Source: Zhu and Gupta, 2018, "To prune, or not to prune", equation 1, from an uncut model.

    Args:
        sparsity: s, the sparsity after the last cut.
        cuts: n, the number of cuts.

    Returns:
        The sparsities, ascending.

    Examples:
        >>> gradual_sparsities(0.5, 2)
        [0.4375, 0.5]
    """
    return [sparsity * (1 - (1 - number / cuts) ** 3) for number in range(1, cuts + 1)]


def cut_steps(steps: int, cuts: int, fraction: float) -> list[int]:
    """The number of steps after which each cut is made: equal distances, within the first part of the steps.

    Args:
        steps: Number of optimizer steps.
        cuts: Number of cuts.
        fraction: Fraction of the steps after which the last cut is made, in (0, 1).

    Returns:
        Numbers of steps, ascending; at least one step follows the last cut.

    Examples:
        >>> cut_steps(100, 4, 0.5)
        [12, 25, 38, 50]
        >>> cut_steps(3, 2, 0.9)
        [1, 2]
    """
    return [min(round(number / cuts * fraction * steps), max(steps - 1, 0)) for number in range(1, cuts + 1)]


def uncut_share(cuts: int, fraction: float) -> float:
    r"""The share of the units to remove that are still there, as a mean over all steps: $f (n + 1)^2 / (4 n^2)$.

    It follows from the sum of cubes; rounding to whole steps is left out. A step costs about the last size plus this
    share of what the uncut size costs more.

    Args:
        cuts: n, the number of cuts.
        fraction: f, the fraction of the steps after which the last cut is made.

    Returns:
        The share.

    Examples:
        >>> uncut_share(1, 0.5)
        0.5
    """
    return fraction * (cuts + 1) ** 2 / (4 * cuts**2)
