"""Each rule of the verdict, and that it decides by nothing else than its numbers."""

from dataclasses import replace

import pytest

from pipeline.results.statistics import Estimate
from pipeline.results.verdict import Contender, cost, decide_use, verdict_text

TEACHER = Contender("teacher", "teacher", 90.0, milliseconds=10.0, megabytes=100.0, rows_per_second=100.0)
STUDENT = Contender(
    "student", "student", 89.0, Estimate(-1.0, -2.0, 0.0), None, milliseconds=2.0, megabytes=50.0, rows_per_second=500.0
)
CONSTANT = Contender("constant answer", "constant", 50.0, Estimate(-40.0, -44.0, -36.0), Estimate(-39.0, -43.0, -35.0))
FAR, NEAR = Estimate(-6.0, -8.0, -4.0), Estimate(-0.5, -4.0, 2.0)
TFIDF = Contender("TF-IDF", "simple", 83.0, FAR, FAR, milliseconds=0.5, megabytes=1.0, rows_per_second=2000.0)
INT8 = Contender(
    "teacher in int8", "quantised teacher", 89.5, Estimate(-0.5, -1.0, 0.0), Estimate(0.5, 0.0, 1.0), 2.2, 58.0, 400.0
)
SMALL = replace(INT8, name="student in int8", kind="quantised student", score=88.5, milliseconds=1.0, megabytes=40.0)
SMALL = replace(SMALL, over_teacher=Estimate(-1.5, -2.5, -0.5), over_student=Estimate(-0.5, -1.0, 0.0))


def decided(*contenders):
    return decide_use(contenders).decision


def test_the_student_is_used_where_nothing_else_comes_near():
    verdict = decide_use([TEACHER, STUDENT, CONSTANT, TFIDF, replace(INT8, milliseconds=5.0)])
    assert (verdict.decision, verdict.use) == ("use the student", STUDENT)


@pytest.mark.parametrize(("high", "learned"), [(-0.01, True), (0.0, False), (3.0, False)])
def test_a_teacher_that_is_no_better_than_a_constant_answer_has_not_learned(high, learned):
    constant = replace(CONSTANT, over_teacher=Estimate(-5.0, -10.0, high))
    near = replace(TFIDF, over_student=NEAR)
    assert (decided(TEACHER, STUDENT, constant, near) == "take the alternative") is learned
    verdict = decide_use([TEACHER, STUDENT, constant, near])
    assert (verdict.decision == "nothing has learned") is not learned
    assert (verdict.use is None) is not learned


@pytest.mark.parametrize("other", ["over_student", "over_teacher"])
@pytest.mark.parametrize(("value", "taken"), [(-1.01, False), (-1.0, True), (2.0, True)])
def test_an_alternative_is_taken_within_a_point_of_student_or_teacher(other, value, taken):
    found = replace(TFIDF, **{other: Estimate(value, value - 4, value + 3)})
    assert (decided(TEACHER, STUDENT, CONSTANT, found) == "take the alternative") is taken


@pytest.mark.parametrize(("milliseconds", "taken"), [(1.99, True), (2.0, False), (5.0, False), (None, True)])
def test_an_alternative_must_be_faster_where_that_is_known(milliseconds, taken):
    found = replace(TFIDF, over_student=NEAR, milliseconds=milliseconds)
    assert (decided(TEACHER, STUDENT, found) == "take the alternative") is taken


def test_an_alternative_must_be_faster_than_the_student_in_int8_too():
    found = replace(TFIDF, over_student=NEAR, milliseconds=1.5)
    assert decided(TEACHER, STUDENT, found) == "take the alternative"
    assert decided(TEACHER, STUDENT, found, SMALL) == "use the student"


@pytest.mark.parametrize(
    ("low", "milliseconds", "taken"), [(0.1, 8.3, True), (0.0, 8.3, False), (0.1, 8.4, False), (0.1, None, True)]
)
def test_an_alternative_that_is_better_for_certain_need_only_be_faster_than_the_teacher(low, milliseconds, taken):
    found = replace(TFIDF, over_student=Estimate(3.0, low, 6.0), milliseconds=milliseconds)
    verdict = decide_use([TEACHER, STUDENT, found])
    assert (verdict.decision == "take the alternative") is taken
    if milliseconds is not None and taken:
        assert verdict.rule.startswith("it is at least 1.2 times as fast as the teacher")


def test_of_several_alternatives_the_best_is_taken():
    first, second = (
        replace(TFIDF, name=name, score=score, over_student=NEAR) for name, score in (("a", 84), ("b", 87))
    )
    assert decide_use([TEACHER, STUDENT, first, second]).use == second
    assert decide_use([TEACHER, STUDENT, second, first]).use == second


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({}, True),
        ({"score": 89.0}, False),
        ({"milliseconds": 2.4}, True),
        ({"milliseconds": 2.5}, False),
        ({"megabytes": 60.0}, True),
        ({"megabytes": 61.0}, False),
        ({"milliseconds": None}, False),
    ],
)
def test_the_teacher_is_quantised_where_it_is_as_small_and_better(change, taken):
    found = decided(TEACHER, STUDENT, CONSTANT, TFIDF, replace(INT8, **change))
    assert (found == "quantise the teacher") is taken


def test_the_student_is_taken_in_int8_where_that_costs_little():
    assert decide_use([TEACHER, STUDENT, SMALL]).use == SMALL
    assert verdict_text([TEACHER, STUDENT, SMALL], decide_use([TEACHER, STUDENT, SMALL]))[0].endswith("in int8.")
    for change in ({"over_student": Estimate(-1.1, -2.0, 0.0)}, {"milliseconds": 2.1}, {"milliseconds": None}):
        assert decide_use([TEACHER, STUDENT, replace(SMALL, **change)]).use == STUDENT


def test_the_quantised_teacher_is_compared_with_the_quantised_student():
    assert decided(TEACHER, STUDENT, INT8) == "quantise the teacher"
    assert decided(TEACHER, STUDENT, INT8, SMALL) == "use the student"
    assert decided(TEACHER, STUDENT, replace(INT8, milliseconds=1.1, megabytes=45.0), SMALL) == "quantise the teacher"


@pytest.mark.parametrize(
    ("lost", "kept"),
    [
        (Estimate(-3.0, -5.0, -1.1), True),
        (Estimate(-3.0, -5.0, -1.0), False),
        (Estimate(-2.0, -2.5, -1.5), False),
        (Estimate(-2.1, -2.5, -1.5), True),
    ],
)
def test_the_teacher_is_kept_where_the_student_loses_much_for_certain(lost, kept):
    assert (decided(TEACHER, replace(STUDENT, over_teacher=lost), TFIDF) == "keep the teacher") is kept


@pytest.mark.parametrize(
    ("milliseconds", "megabytes", "kept"), [(9.0, 90.0, True), (8.0, 90.0, False), (9.0, 80.0, False)]
)
def test_a_student_that_is_worse_and_saves_nothing_is_not_used(milliseconds, megabytes, kept):
    student = replace(STUDENT, milliseconds=milliseconds, megabytes=megabytes)
    assert (decided(TEACHER, student) == "keep the teacher") is kept
    better = replace(student, over_teacher=Estimate(0.5, -1.0, 2.0))
    assert decided(TEACHER, better) == "use the student"


def test_the_text_tells_speed_size_points_costs_and_the_rule():
    contenders = [TEACHER, STUDENT, CONSTANT, TFIDF]
    said = verdict_text(contenders, decide_use(contenders), price=0.36)
    assert said[0] == "Verdict: use the student."
    assert said[1] == (
        "Compared with the teacher, it is 5.0 times as fast for single rows, has 0.5 of the size and has a "
        "score that differs by -1.0 points, 95 % interval -2.0 to +0.0."
    )
    # A million rows at 100 rows a second take 10,000 seconds, which are 2.78 hours.
    assert said[2].endswith("in batches of 32 rows: teacher 1, student 0.2, TF-IDF 0.05.")
    assert said[-1].startswith("Rule: no simple alternative")
    assert cost(replace(TEACHER, cores=4), 0.36) == pytest.approx(4 * cost(TEACHER, 0.36))
    assert cost(CONSTANT, 0.36) is None


def test_the_text_of_an_alternative_tells_how_far_it_is_from_the_student():
    contenders = [TEACHER, STUDENT, replace(TFIDF, over_student=NEAR)]
    said = verdict_text(contenders, decide_use(contenders))
    assert said[0] == "Verdict: do not use the student, take TF-IDF."
    assert "Its score minus the student's is -0.5 points, 95 % interval -4.0 to +2.0." in said
    assert (
        "faster than the student, and its score minus the student's is -0.5 points (interval -4.0 to +2.0)" in said[-1]
    )
    assert not any("Dollars" in line for line in said)
