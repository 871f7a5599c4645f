"""Candidates: the sparse teachers among which a run searches for the best one."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.settings import TeacherSettings

__all__ = ["Candidate", "RankedTeacher", "candidates"]


@dataclass(frozen=True)
class Candidate:
    """A sparse teacher.

    Args:
        lam: Weight of expressiveness in its score; None for the score of ``teacher.score``.
        sparsity: Fraction of heads and neurons, or of what ``teacher.budget`` counts, that is removed.
    """

    lam: float | None
    sparsity: float

    @property
    def name(self) -> str:
        """Name of its folders.

        Examples:
            >>> Candidate(0.5, 0.20).name
            '0.5_0.2'
        """
        return f"{self.sparsity:g}" if self.lam is None else f"{self.lam:g}_{self.sparsity:g}"


@dataclass(frozen=True)
class RankedTeacher:
    """A sparse teacher of a baseline.

    Args:
        ranking: Name of the score that its units are ranked by.
        sparsity: Fraction of heads and neurons, or of what ``teacher.budget`` counts, that is removed.
    """

    ranking: str
    sparsity: float

    @property
    def name(self) -> str:
        """Name of its folders.

        Examples:
            >>> RankedTeacher("random", 0.20).name
            'random_0.2'
        """
        return f"{self.ranking}_{self.sparsity:g}"


def candidates(teacher: TeacherSettings) -> list[Candidate]:
    """All candidates: every lam with every sparsity above 0, the densest first.

    Sparsity 0 is left out, because that teacher is the dense teacher of the trial. Without lams there is one candidate
    for each sparsity.

    Args:
        teacher: The settings.

    Returns:
        The candidates in a fixed order; in a tie the earlier one wins.

    Examples:
        >>> [candidate.name for candidate in candidates(TeacherSettings(lams=[1.0, 0.5], sparsities=[0.2, 0.0, 0.1]))]
        ['0.5_0.1', '1_0.1', '0.5_0.2', '1_0.2']
    """
    return [
        Candidate(lam, sparsity)
        for sparsity in sorted(teacher.sparsities)
        if sparsity > 0
        for lam in ([None] if teacher.lams is None else sorted(teacher.lams))
    ]
