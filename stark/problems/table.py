"""The kind of label of a task or a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedConfig

from stark.errors import StarkError
from stark.problems.classification import Classification
from stark.problems.multi_label import MultiLabel
from stark.problems.problem import Problem
from stark.problems.ranking import Ranking
from stark.problems.regression import Regression

__all__ = ["PROBLEMS", "problem_for", "problem_of", "register_problem", "set_labels_"]

_ALL: tuple[type[Problem], ...] = (Classification, Regression, MultiLabel, Ranking)
PROBLEMS: dict[str, type[Problem]] = {kind.kind: kind for kind in _ALL}
"""Kinds of label by their names."""

# The kinds of transformers' three types of problem, by which a model from elsewhere is known.
_USUAL = {kind.problem_type: kind for kind in _ALL if kind is not Ranking}
_KEY = "stark_kind"


def register_problem(problem: type[Problem]) -> None:
    """Support one more kind of label, such as one that a plugin defines.

    Args:
        problem: Class of the kind of label. A task selects it with ``kind: NAME`` in its YAML.

    Raises:
        StarkError: If another kind has the same name.
    """
    known = PROBLEMS.setdefault(problem.kind, problem)
    # A plugin file that is read again, such as a run's copy of it, defines its classes again.
    if known.__qualname__ != problem.__qualname__ or known.__module__ != problem.__module__:
        raise StarkError(f"there is another kind of label that is called {problem.kind!r}")
    PROBLEMS[problem.kind] = problem


def problem_for(label_names: Sequence[str], kind: str | None = None) -> Problem:
    """The problem of a task.

    Args:
        label_names: Names of its labels.
        kind: Name of the kind of label. None means regression for a single name, else classification.

    Returns:
        The problem.

    Raises:
        StarkError: If there is no such kind.

    Examples:
        >>> problem_for(["no", "yes"]).kind, problem_for(["stars"]).kind
        ('classification', 'regression')
    """
    if kind is None:
        kind = (Regression if len(label_names) == 1 else Classification).kind
    if kind not in PROBLEMS:
        raise StarkError(
            f"there is no kind of label {kind!r}: choose one of {', '.join(PROBLEMS)}, or name the Python file that "
            "defines it with --plugins"
        )
    return PROBLEMS[kind](label_names)


def problem_of(config: PreTrainedConfig) -> Problem:
    """The problem that a classifier was made for.

    Args:
        config: The classifier's configuration.

    Returns:
        The problem, with what the model's predictions need. If the configuration names no supported kind, as in a model
        from elsewhere, the number of labels determines it.

    Raises:
        StarkError: If the kind of label is defined in a plugin that was not imported.
    """
    known: Any = config.id2label or {}  # its type allows numbers or texts as keys
    names = [str(known.get(number, number)) for number in range(config.num_labels or 0)]
    kind: str | None = getattr(config, _KEY, None)
    if kind is None and config.problem_type in _USUAL:
        kind = _USUAL[config.problem_type].kind
    return problem_for(names, kind).of_model(config)


def set_labels_(config: PreTrainedConfig, label_names: Sequence[str], kind: str | None = None) -> None:
    """Set the label names of a configuration, in the order of their numbers, and the kind of label.

    Args:
        config: A classifier's configuration; it is changed.
        label_names: The names; a single one means regression.
        kind: Name of the kind of label, see `problem_for`.

    Raises:
        StarkError: If there are no names, a name occurs twice, or there is no such kind.
    """
    if not label_names or len(set(label_names)) != len(label_names):
        raise StarkError(f"label names must be given and differ: {list(label_names)}")
    problem = problem_for(label_names, kind)
    config.id2label = dict(enumerate(label_names))
    config.label2id = {name: number for number, name in enumerate(label_names)}
    config.problem_type = problem.problem_type  # type: ignore[assignment]  # one of transformers' words
    if type(problem) is not _USUAL.get(problem.problem_type):
        setattr(config, _KEY, problem.kind)
    elif hasattr(config, _KEY):
        delattr(config, _KEY)
