"""The schedule by which a teacher's sparsity decreases over the epochs."""

from __future__ import annotations

__all__ = ["restored_sparsity"]


def restored_sparsity(sparsity: float, epoch: int, epochs: int) -> float:
    r"""The teacher's sparsity in an epoch: $s (1 - e / (E - 1))$, so that the teacher is dense in the last epoch.

    Args:
        sparsity: s, the sparsity in the first epoch.
        epoch: e, the number of the epoch, counted from 0.
        epochs: E, the number of epochs; with a single epoch the teacher stays sparse.

    Returns:
        The sparsity.

    Examples:
        >>> [restored_sparsity(0.5, epoch, 3) for epoch in range(3)]
        [0.5, 0.25, 0.0]
    """
    return sparsity * (1 - epoch / (epochs - 1)) if epochs > 1 else sparsity
