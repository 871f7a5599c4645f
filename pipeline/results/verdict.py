"""When to use the student, a simple alternative or the teacher: stated rules on measured numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.results.statistics import Estimate

__all__ = ["MILLION", "PRICE", "Contender", "Decision", "Kind", "Verdict", "cost", "decide_use", "verdict_text"]

Kind = Literal["constant", "simple", "teacher", "quantised teacher", "student", "quantised student"]
Decision = Literal[
    "nothing has learned", "take the alternative", "quantise the teacher", "keep the teacher", "use the student"
]

PRICE = 0.05
"""Dollars per core and hour, about what clouds take for a core of a shared machine."""
MILLION = 1_000_000
_NEAR = 1.0
"""Points within which a score counts as reached."""
_LOST = 2.0
"""Points that a student may lose."""
_SIMILAR = 1.2
"""Times that a latency or a size may be as large and still count as no disadvantage."""


@dataclass(frozen=True)
class Contender:
    """A model that could be used.

    Args:
        name: Name that is shown.
        kind: What it is.
        score: Score on dev in points (hundredths).
        over_teacher: Its score minus the dense teacher's in points, paired on the rows of dev; None for the teacher.
        over_student: The same minus the chosen student's; None for the student.
        milliseconds: Median time of a single row; None if it was not measured.
        megabytes: Size of what one has to ship; None if it is unknown.
        rows_per_second: In batches of 32 rows; None if it was not measured.
        cores: Number of cores that it was measured with.
    """

    name: str
    kind: Kind
    score: float
    over_teacher: Estimate | None = None
    over_student: Estimate | None = None
    milliseconds: float | None = None
    megabytes: float | None = None
    rows_per_second: float | None = None
    cores: int = 1


@dataclass(frozen=True)
class Verdict:
    """What to use.

    Args:
        decision: The decision.
        use: The contender to use; None where nothing has learned.
        rule: The rule that decided, a sentence.
    """

    decision: Decision
    use: Contender | None
    rule: str


def decide_use(contenders: Sequence[Contender]) -> Verdict:
    """Decide what to use. The first rule that applies decides.

    The student is taken in int8 where that was measured, is no slower, and costs at most one point; else as it is.

    1. *Nothing has learned*: the 95 % interval of the constant answer's score minus the teacher's reaches 0.
    2. *Take the alternative*: a simple alternative is faster than the student, and its score minus the student's, or
       minus the teacher's, is at least -1 point; or it is at least 1.2 times as fast as the teacher, and the lower end
       of the 95 % interval of its score minus the student's is above 0. Of several, the one with the highest score.
    3. *Quantise the teacher*: the teacher in int8 has a higher score than the student, and is at most 1.2 times as slow
       and at most 1.2 times as large.
    4. *Keep the teacher*: the student loses more than 2 points and the upper end of the interval is below -1 point; or
       it is worse than the teacher and less than 1.2 times as fast, and more than 1 / 1.2 of its size.
    5. *Use the student* otherwise.

    Where latencies were not measured, an alternative must be smaller instead of faster, and rule 3 and the second half
    of rule 4 do not apply.

    Args:
        contenders: The models: one teacher, one student, and any others.

    Returns:
        The verdict.
    """
    teacher, student = _one(contenders, "teacher"), _one(contenders, "student")
    assert teacher is not None
    assert student is not None
    assert student.over_teacher is not None
    constant, form = _one(contenders, "constant"), _form(student, _one(contenders, "quantised student"))
    lost = form.over_teacher or student.over_teacher
    if constant is not None and constant.over_teacher is not None and constant.over_teacher.high >= 0:
        return Verdict(
            "nothing has learned",
            None,
            "the 95 % interval of the constant answer's score minus the teacher's reaches 0 "
            f"({_interval(constant.over_teacher)} points)",
        )
    simple = [
        (found, why)
        for found in contenders
        if found.kind == "simple" and (why := _replaces(found, form, teacher)) is not None
    ]
    if simple:
        best, why = max(simple, key=lambda pair: pair[0].score)
        return Verdict("take the alternative", best, why)
    small = _one(contenders, "quantised teacher")
    if small is not None and small.score > form.score and _is_similar(small, form):
        return Verdict(
            "quantise the teacher",
            small,
            f"the teacher in int8 scores higher than the {form.name} and is at most {_SIMILAR:g} times as slow and as "
            "large",
        )
    if lost.value < -_LOST and lost.high < -_NEAR:
        return Verdict(
            "keep the teacher",
            teacher,
            f"the {form.name} loses more than {_LOST:g} points, and the 95 % interval of the loss ({_interval(lost)} "
            f"points) lies below -{_NEAR:.1f}",
        )
    if lost.value < 0 and _is_useless(form, teacher):
        return Verdict(
            "keep the teacher",
            teacher,
            f"the {form.name} is neither {_SIMILAR:g} times as fast as the teacher nor smaller",
        )
    return Verdict(
        "use the student",
        form,
        "no simple alternative that is faster comes within one point of the student, the teacher in int8 does not "
        f"replace it, and it does not lose more than {_LOST:g} points for certain",
    )


def verdict_text(contenders: Sequence[Contender], verdict: Verdict, price: float | None = None) -> list[str]:
    """The verdict in words: what to use, what it costs and gives, and the rule.

    Args:
        contenders: What `decide_use` was given.
        verdict: What it returned.
        price: Dollars per core and hour; None without costs.

    Returns:
        Sentences, the first one is the verdict.
    """
    teacher, student = _one(contenders, "teacher"), _one(contenders, "student")
    assert teacher is not None
    assert student is not None
    use = verdict.use
    first = {
        "nothing has learned": "Verdict: use none of these models, because nothing here has learned.",
        "take the alternative": f"Verdict: do not use the student, take {use.name if use else ''}.",
        "quantise the teacher": "Verdict: do not use the student, just quantise the teacher.",
        "keep the teacher": "Verdict: do not use the student, keep the teacher.",
        "use the student": f"Verdict: use the {use.name if use else ''}.",
    }[verdict.decision]
    lines = [first]
    if use is not None and use is not teacher and (said := _compared(use, teacher)):
        lines.append(f"Compared with the teacher, it {said}.")
    if use is not None and use.kind == "simple" and use.over_student is not None:
        lines.append(f"Its score minus the student's is {_points(use.over_student)}.")
    if price is not None:
        useful = [found for found in contenders if found.kind != "constant"]
        priced = [(found.name, amount) for found in useful if (amount := cost(found, price)) is not None]
        if priced:
            told = ", ".join(f"{name} {amount:.2g}" for name, amount in priced)
            lines.append(
                f"Dollars per million rows, at {price:g} dollars per core and hour and in batches of 32 rows: {told}."
            )
    return [*lines, f"Rule: {verdict.rule}."]


def cost(found: Contender, price: float) -> float | None:
    """What a million rows cost.

    Args:
        found: The model.
        price: Dollars per core and hour.

    Returns:
        Dollars; None if its speed was not measured.

    Examples:
        >>> cost(Contender("student", "student", 90.0, rows_per_second=1000.0, cores=2), 0.36)
        0.2
    """
    if not found.rows_per_second:
        return None
    return MILLION / found.rows_per_second / 3600 * found.cores * price


def _one(contenders: Sequence[Contender], kind: Kind) -> Contender | None:
    return next((found for found in contenders if found.kind == kind), None)


def _form(student: Contender, small: Contender | None) -> Contender:
    """The form of the student to use: in int8 where that is no slower and costs at most one point."""
    if small is None or small.over_student is None or small.over_student.value < -_NEAR:
        return student
    if small.milliseconds is None or student.milliseconds is None or small.milliseconds > student.milliseconds:
        return student
    return small


def _replaces(found: Contender, student: Contender, teacher: Contender) -> str | None:
    """Why a simple alternative replaces the student; None if it does not."""
    over, is_timed = found.over_student, None not in (found.milliseconds, student.milliseconds)
    if _is_cheaper(found, student, 1.0):
        for name, points in (("student", over), ("teacher", found.over_teacher)):
            if points is not None and points.value >= -_NEAR:
                return (
                    f"it is {'faster' if is_timed else 'smaller'} than the student, and its score minus the {name}'s "
                    f"is {points.value:+.1f} points (interval {_interval(points)}), which is -{_NEAR:.1f} or more"
                )
    if over is not None and over.low > 0 and _is_cheaper(found, teacher, _SIMILAR):
        return (
            f"it is at least {_SIMILAR:g} times as {'fast' if is_timed else 'small'} as the teacher, and the 95 % "
            f"interval of its score minus the student's ({_interval(over)} points) is above 0"
        )
    return None


def _is_cheaper(found: Contender, other: Contender, times: float) -> bool:
    """Whether it is some times as fast; where that was not measured, as small."""
    for own, known in ((found.milliseconds, other.milliseconds), (found.megabytes, other.megabytes)):
        if own is not None and known is not None:
            return own < known if times == 1 else times * own <= known
    return True


def _is_similar(found: Contender, other: Contender) -> bool:
    pairs = ((found.milliseconds, other.milliseconds), (found.megabytes, other.megabytes))
    return all(own is not None and known is not None and own <= _SIMILAR * known for own, known in pairs)


def _is_useless(student: Contender, teacher: Contender) -> bool:
    pairs = ((student.milliseconds, teacher.milliseconds), (student.megabytes, teacher.megabytes))
    return all(own is not None and known is not None and _SIMILAR * own > known for own, known in pairs)


def _compared(use: Contender, teacher: Contender) -> str:
    found = []
    if use.milliseconds and teacher.milliseconds:
        found.append(f"is {teacher.milliseconds / use.milliseconds:.1f} times as fast for single rows")
    if use.megabytes and teacher.megabytes:
        found.append(f"has {use.megabytes / teacher.megabytes:.2g} of the size")
    if use.over_teacher is not None:
        found.append(f"has a score that differs by {_points(use.over_teacher)}")
    return " and ".join((", ".join(found[:-1]), found[-1])) if len(found) > 1 else "".join(found)


def _points(points: Estimate) -> str:
    return f"{points.value:+.1f} points, 95 % interval {_interval(points)}"


def _interval(points: Estimate) -> str:
    return f"{points.low:+.1f} to {points.high:+.1f}"
