"""Which metrics of a task make its score, for a command line that is read before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence

from stark.errors import StarkError

__all__ = ["ERRORS", "score_names"]

ERRORS = ("mae", "rmse")
"""Metrics of which less is better. They are reported, and are no part of a score."""


def score_names(names: Sequence[str], select_by: str | None = None) -> list[str]:
    """The metrics whose mean is the score of a task, by which checkpoints and candidates are chosen.

    Args:
        names: All metrics of the task.
        select_by: One of them, which is the score then; None for all but `ERRORS`.

    Returns:
        Some of the names.

    Raises:
        StarkError: If there is none, or ``select_by`` is not one of them.

    Examples:
        >>> score_names(["pearson", "spearmanr", "mae"]), score_names(["accuracy", "macro_f1"], "macro_f1")
        (['pearson', 'spearmanr'], ['macro_f1'])
    """
    scores = [name for name in names if name not in ERRORS]
    if select_by is not None and select_by not in scores:
        raise StarkError(f"select_by is {select_by!r}: choose one of the task's metrics, {', '.join(scores)}")
    if not scores:
        raise StarkError(
            f"metrics are {', '.join(names)}: these are errors, of which no score is made; name pearson or spearmanr "
            "as well"
        )
    return scores if select_by is None else [select_by]
