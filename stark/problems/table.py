"""Which kind of label a task or a model has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedConfig

from stark.errors import StarkError
from stark.problems.classification import Classification
from stark.problems.problem import Problem
from stark.problems.regression import Regression

__all__ = ["PROBLEMS", "problem_for", "problem_of"]

PROBLEMS: dict[str, type[Problem]] = {kind.problem_type: kind for kind in (Classification, Regression)}
"""Kinds of label by transformers' ``config.problem_type``."""


def problem_for(label_names: Sequence[str], problem_type: str | None = None) -> Problem:
    """The problem of a task.

    Args:
        label_names: Names of its labels.
        problem_type: What transformers calls its kind. None means regression for a single name, else classification.

    Returns:
        The problem.

    Raises:
        StarkError: If there is no such kind.

    Examples:
        >>> problem_for(["no", "yes"]).kind, problem_for(["stars"]).kind
        ('classification', 'regression')
    """
    if problem_type is None:
        problem_type = (Regression if len(label_names) == 1 else Classification).problem_type
    if problem_type not in PROBLEMS:
        raise StarkError(f"problem_type is {problem_type!r}: choose one of {', '.join(PROBLEMS)}")
    return PROBLEMS[problem_type](label_names)


def problem_of(config: PreTrainedConfig) -> Problem:
    """The problem that a classifier was made for.

    Args:
        config: The classifier's configuration.

    Returns:
        The problem. A model from elsewhere may name no kind that is supported; then the number of its labels decides.
    """
    known: Any = config.id2label or {}  # by number, or by its text
    names = [str(known.get(number, number)) for number in range(config.num_labels or 0)]
    return problem_for(names, config.problem_type if config.problem_type in PROBLEMS else None)
