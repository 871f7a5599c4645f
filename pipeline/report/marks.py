"""The colour and shape of each model of a page: the same in all pictures and tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.alternatives.table import ALTERNATIVES

__all__ = [
    "DENSE_INT8",
    "DENSE_TEACHER",
    "OTHER",
    "SPARSE_TEACHER",
    "STUDENT_INT8",
    "STUDENT_OF_DENSE",
    "STUDENT_OF_SPARSE",
    "UNDISTILLED",
    "Mark",
    "marks_of",
    "run_marks",
]

# As `stark run` names them in its summary.
DENSE_TEACHER = "dense teacher"
STUDENT_OF_DENSE = "student of dense teacher"
STUDENT_OF_SPARSE = "student of sparse teacher"
SPARSE_TEACHER = "sparse teacher"
UNDISTILLED = "student, not distilled"
# Models that only a report measures.
DENSE_INT8 = "teacher in int8"
STUDENT_INT8 = "student in int8"

# Their contrast is at least 3:1 on the light and on the dark background. Neighbours differ for the colour-blind.
_COLORS = ("#3f7fd0", "#cc7218", "#8f63c7", "#1f968c", "#c2497f", "#988300", "#5b8c2a", "#a0603c")
# A number of shapes that has no divisor in common with the number of colours gives 56 different marks.
_SHAPES = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("*", "★"), ("P", "✚"))


@dataclass(frozen=True)
class Mark:
    """How a model is drawn.

    Args:
        color: Colour as ``#rrggbb``, readable on light and on dark backgrounds.
        shape: Matplotlib's name of the shape.
        symbol: The shape as a character, for texts.
    """

    color: str
    shape: str
    symbol: str


OTHER = Mark("#80868f", "o", "○")
"""The mark of whatever is no model with its own mark."""


def marks_of(names: Iterable[str]) -> dict[str, Mark]:
    """Give each model its own mark.

    Args:
        names: Names of the models of a page, in their order.

    Returns:
        A mark for each name. Up to 56 of them differ; up to 8 differ in the colour as well.

    Examples:
        >>> marks_of(["teacher", "student"])["student"]
        Mark(color='#cc7218', shape='s', symbol='■')
    """
    return {
        name: Mark(_COLORS[place % len(_COLORS)], *_SHAPES[place % len(_SHAPES)])
        for place, name in enumerate(dict.fromkeys(names))
    }


def run_marks() -> dict[str, Mark]:
    """The marks of a run's models by name. Students of all sparse teachers have the same one."""
    simple = (kind.title for kind in ALTERNATIVES.values())
    own = (DENSE_TEACHER, STUDENT_OF_DENSE, STUDENT_OF_SPARSE, SPARSE_TEACHER, UNDISTILLED)
    return marks_of([*own, DENSE_INT8, STUDENT_INT8, *simple])
