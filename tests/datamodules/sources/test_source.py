"""Reading labels from cells."""

import math

import pytest

from datamodules.sources.source import empty_texts_note, is_score, parse_label


@pytest.mark.parametrize(("text", "label"), [("yes", 1), ("no", 0)])
def test_a_class_is_its_number(text, label):
    assert parse_label(text, {"no": 0, "yes": 1}) == label


def test_a_score_is_its_number():
    assert parse_label("2.50", {}) == 2.5


@pytest.mark.parametrize("text", ["maybe", "", "YES"])
def test_other_words_are_refused(text):
    with pytest.raises(ValueError, match="no"):
        parse_label(text, {"no": 0, "yes": 1})


@pytest.mark.parametrize("text", ["nan", "inf", "one", ""])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match=text or "''"):
        parse_label(text, {})


def test_scores_fit_into_a_float32():
    assert is_score(0.0)
    assert is_score(-3.4e38)
    assert not is_score(3.5e38)
    assert not is_score(math.nan)


def test_a_note_names_lines_but_not_all():
    note = empty_texts_note(list(range(1, 21)), "line")
    assert "20" in note
    assert "1, 2, 3, 4, 5" in note
    assert "19" not in note
