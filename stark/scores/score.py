"""The interface of a score of heads and neurons."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn
from transformers import PreTrainedModel

from stark.encoders.units import UnitValues
from stark.errors import StarkError
from stark.forward.classifying import Batch, Outputs
from stark.losses.loss import Loss
from stark.problems.problem import Problem
from stark.scores.importance import UnitReduction
from stark.scores.unit_scores import UnitScores

__all__ = [
    "ActivationScore",
    "Compared",
    "DataScore",
    "Distilled",
    "GradientScore",
    "Score",
    "Taught",
    "check_score",
    "check_teacher_score",
]


class Distilled(NamedTuple):
    """A student and the loss that it was distilled with, for scores that compare a teacher with its student.

    Args:
        student: The trial student.
        loss: The loss, on the student's device.
    """

    student: PreTrainedModel
    loss: Loss


class Taught(NamedTuple):
    """A teacher and the loss that a student is distilled with, for scores of the student's units.

    Args:
        teacher: The teacher.
        loss: The loss, on the teacher's device.
    """

    teacher: PreTrainedModel
    loss: Loss


Compared = Distilled | Taught
"""The other model of a distillation, with which a score compares the scored one."""


class Score(ABC):
    """A score of units: how important each head and each neuron is for a model.

    A new score is a subclass in a separate file: of `GradientScore`, if it comes from the gradients of a loss, of
    `ActivationScore`, if it comes from what the units compute, or of this class, if it comes from the weights or mixes
    other scores. The scores of student and teacher are both chosen
    by ``class_path`` and ``init_args``.
    """

    #: Whether it compares with a distilled student; such a score ranks only the units of teachers.
    needs_student: bool = False
    #: Whether it compares with a teacher; such a score ranks the units of a student that is being distilled.
    needs_teacher: bool = False

    def __repr__(self) -> str:
        """The score's class and its settings."""
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"

    @property
    def parts(self) -> Sequence[DataScore]:
        """The scores that it is computed from and that need a pass over data; none by default."""
        return ()

    @abstractmethod
    def values(self, model: PreTrainedModel, scores: UnitScores) -> UnitValues:
        """The values by which the units are ranked.

        Args:
            model: The model whose units are ranked.
            scores: The score's parts, summed over data.

        Returns:
            The values; the units with the lowest values are removed first.
        """

    def read(self, path: Path, model: PreTrainedModel) -> UnitScores:
        """Read the parts from a file of scores.

        Args:
            path: A file that `UnitScores.save` wrote.
            model: The model whose units are ranked, which must be the one that was scored.

        Returns:
            The score's parts.

        Raises:
            StarkError: If the file has another format, is damaged, belongs to another model, or lacks a part.
        """
        return UnitScores.load(path, model, [part.name for part in self.parts])

    def check(self, loss: Loss) -> None:  # noqa: B027 - most scores take any loss
        """Refuse a distillation loss from which the score cannot be computed; accepts all by default.

        Args:
            loss: The loss of the trial.

        Raises:
            StarkError: If the loss is refused.
        """


class DataScore(Score):
    """A score that is a sum over rows of data."""

    @property
    def name(self) -> str:
        """Name under which its sums are stored: the name of its class, in lower case with underscores.

        Examples:
            >>> from stark import KLFriendliness
            >>> KLFriendliness().name
            'kl_friendliness'
        """
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__).lower()

    @property
    def parts(self) -> Sequence[DataScore]:
        """The score itself."""
        return (self,)

    def values(self, model: PreTrainedModel, scores: UnitScores) -> UnitValues:
        """The score's sums, each layer divided by its norm.

        Args:
            model: Not used.
            scores: Scores that include this one.

        Returns:
            The values.
        """
        return scores.normalized(self.name)


class GradientScore(DataScore):
    """A score from the gradients of a loss with respect to masks fixed at 1; see `batch_importance`."""

    #: How gradients become importance; None means the reduction that the run uses.
    reduction: UnitReduction | None = None

    @abstractmethod
    def losses(self, problem: Problem, outputs: Outputs, batch: Batch, distilled: Compared | None) -> Tensor:
        """The loss of each example.

        Args:
            problem: The kind of label.
            outputs: Outputs of the model that is scored.
            batch: The batch, with ``labels``.
            distilled: The other model of the distillation, in eval mode, and the loss: a `Distilled` is given to every
                score of a teacher, and a `Taught` to every score of a student that is being distilled.

        Returns:
            Losses ``(batch,)``.
        """


class ActivationScore(DataScore):
    """A score from the inputs of the output projections: the contexts of heads and the activations of neurons."""

    @abstractmethod
    def importances(self, inputs: Tensor, output: nn.Linear) -> Tensor:
        """The importance of each input of an output projection, as a sum over tokens.

        A head's importance is the sum over its inputs; a neuron has one.

        Args:
            inputs: Inputs of the tokens that are not padding, ``(tokens, in_features)``. In the last layer of a family
                with ``lean_last_layer``, these are the first tokens.
            output: The attention output, or the second linear of the FFN.

        Returns:
            Shape ``(in_features,)``.
        """


def check_score(score: Score, of: str, *, has_teacher: bool = False) -> Score:
    """Return the score if it can rank the units of a model that has no student.

    Args:
        score: The score.
        of: Name of the setting that chooses the score, for the message.
        has_teacher: Whether the model is being distilled, so that it has a teacher.

    Returns:
        The same score.

    Raises:
        StarkError: If it compares with a student, or with a teacher that the model does not have.
    """
    if score.needs_student:
        raise StarkError(
            f"{of} is {type(score).__name__}, which compares with a trial student, and there is none before the "
            "student is cut: choose another, such as stark.Expressiveness"
        )
    if score.needs_teacher and not has_teacher:
        raise StarkError(
            f"{of} is {type(score).__name__}, which compares a student that is being distilled with its teacher: "
            "choose another, such as stark.Expressiveness, or cut in several steps"
        )
    return score


def check_teacher_score(score: Score, of: str) -> Score:
    """Return the score if it can rank the units of a teacher.

    Args:
        score: The score.
        of: Name of the setting that chooses the score, for the message.

    Returns:
        The same score.

    Raises:
        StarkError: If it compares with a teacher.
    """
    if score.needs_teacher:
        raise StarkError(
            f"{of} is {type(score).__name__}, which ranks the units of a student: choose another, such as "
            "stark.Knowledgeableness"
        )
    return score
