"""The scores and budgets that decide which units of a run's student and teachers are removed."""

from __future__ import annotations

from typing import Any, Literal

from pipeline.parsing.objects import build
from pipeline.search.candidates import Candidate, RankedTeacher
from pipeline.settings import RunSettings
from stark.budgets.budget import Budget
from stark.losses.loss import Loss
from stark.scores.expressiveness import Expressiveness
from stark.scores.friendliness import Friendliness, KLFriendliness, SignedFriendliness
from stark.scores.knowledgeableness import Knowledgeableness
from stark.scores.magnitude import Magnitude
from stark.scores.random import Random
from stark.scores.score import DataScore, Score, check_score, check_teacher_score

__all__ = [
    "RANKINGS",
    "budget_of",
    "check_rankings",
    "extra_parts",
    "score_of",
    "score_without_teacher",
    "student_score",
    "teacher_score",
]


RANKINGS: dict[str, type[Score]] = {
    "expressiveness": Expressiveness,
    "friendliness": Friendliness,
    "signed_friendliness": SignedFriendliness,
    "kl_friendliness": KLFriendliness,
    "magnitude": Magnitude,
    "random": Random,
}
"""Scores of baselines, by their names in the settings of `stark run`."""


def student_score(settings: RunSettings) -> Score:
    """The score by which the student is cut before it is distilled.

    Args:
        settings: The run's settings.

    Returns:
        The score; `Expressiveness` in the place of one that needs a teacher, which is for cuts while distilling.

    Raises:
        StarkError: If the score needs a student to compare with.
        SystemExit: With status 2 if there is no such class, or its arguments are wrong.
    """
    score = _score_while_distilling(settings)
    return Expressiveness() if score.needs_teacher else score


def _score_while_distilling(settings: RunSettings) -> Score:
    described = settings.student.score
    score: Score = Expressiveness() if described is None else build(Score, "student.score", described)  # type: ignore[type-abstract]
    return check_score(score, "student.score", has_teacher=settings.student.is_gradual)


def score_without_teacher(settings: RunSettings) -> str | dict[str, Any] | None:
    """The description of the score by which a student is cut while it is trained on the labels alone.

    Args:
        settings: The run's settings.

    Returns:
        ``student.score``; None, which is `Expressiveness`, in the place of a score that needs a teacher.
    """
    return None if _score_while_distilling(settings).needs_teacher else settings.student.score


def budget_of(settings: RunSettings, part: Literal["student", "teacher"]) -> Budget | None:
    """The budget of the student or of the sparse teachers.

    Args:
        settings: The run's settings.
        part: Whose budget it is.

    Returns:
        The budget; None for the default of `choose_units`.

    Raises:
        SystemExit: With status 2 if there is no such class, or its arguments are wrong.
    """
    described = (settings.student if part == "student" else settings.teacher).budget
    return None if described is None else build(Budget, f"{part}.budget", described)  # type: ignore[type-abstract]


def teacher_score(settings: RunSettings) -> Score:
    """The score by which the candidates are cut, with its default lam; `score_of` sets a candidate's lam.

    Args:
        settings: The run's settings.

    Returns:
        The score.

    Raises:
        SystemExit: With status 2 if there is no such class, or its arguments are wrong.
    """
    described = settings.teacher.score
    score: Score = Knowledgeableness() if described is None else build(Score, "teacher.score", described)  # type: ignore[type-abstract]
    return check_teacher_score(score, "teacher.score")


def score_of(settings: RunSettings, teacher: Candidate | RankedTeacher) -> Score:
    """The score by which a sparse teacher is cut.

    Args:
        settings: The run's settings; the ranking ``random`` uses their seed.
        teacher: A candidate, or a teacher of a baseline.

    Returns:
        The score.
    """
    if isinstance(teacher, RankedTeacher):
        kind = RANKINGS[teacher.ranking]
        return Random(settings.seed) if kind is Random else kind()
    return teacher_score(settings) if teacher.lam is None else Knowledgeableness(teacher.lam)


def extra_parts(settings: RunSettings) -> dict[str, list[DataScore]]:
    """The sums over data that the run's baselines need in addition to those of the candidates' score.

    Args:
        settings: The run's settings.

    Returns:
        Parts of the score by the baseline's key in `RANKINGS`, only for baselines that need additional sums.
    """
    known = {type(part) for part in teacher_score(settings).parts}
    asked = {ranking: list(RANKINGS[ranking]().parts) for ranking in settings.baselines if ranking in RANKINGS}
    return {ranking: parts for ranking, parts in asked.items() if any(type(part) not in known for part in parts)}


def check_rankings(settings: RunSettings, loss: Loss) -> None:
    """Build all scores and budgets of a run, so that errors in them are reported before the run starts.

    Args:
        settings: The run's settings.
        loss: The loss of its distillations.

    Raises:
        StarkError: If a score cannot be used for the student, or with the loss.
        SystemExit: With status 2 if there is no such class, or its arguments are wrong.
    """
    student_score(settings)
    budget_of(settings, "student")
    budget_of(settings, "teacher")
    for score in (teacher_score(settings), *(RANKINGS[name]() for name in settings.baselines if name in RANKINGS)):
        score.check(loss)
