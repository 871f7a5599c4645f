"""Losses of logits that need classes: the common check and the common settings."""

from __future__ import annotations

from typing import ClassVar

from stark.errors import StarkError
from stark.losses.soft_targets import SoftTargets
from stark.problems.classification import Classification
from stark.problems.problem import Problem

__all__ = ["ClassLoss"]


class ClassLoss(SoftTargets):
    """A variant of `SoftTargets` for rows that have one class each, and no other kind of label.

    Args:
        temperature: T, above 0.
        weight: w in [0, 1], the weight of the teacher.
    """

    #: The smallest number of classes for which the loss has a gradient.
    fewest_classes: ClassVar[int] = 2

    def check_problem(self, problem: Problem) -> None:
        """Refuse labels that are not classes, and too few classes.

        Args:
            problem: The kind of label.

        Raises:
            StarkError: If it is refused.
        """
        name, fewest = type(self).__name__, self.fewest_classes
        if not isinstance(problem, Classification):
            raise StarkError(
                f"distillation loss {name} needs one class per row, and the labels are of kind '{problem.kind}': "
                "choose stark.SoftTargets or stark.LogitMSE"
            )
        if problem.num_labels < fewest:
            raise StarkError(
                f"distillation loss {name} needs {fewest} classes or more, and there are {problem.num_labels}, for "
                "which it has no gradient: choose stark.SoftTargets"
            )
