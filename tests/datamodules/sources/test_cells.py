"""Cells of rows in users' files."""

from pathlib import Path

import pytest

from datamodules.sources.cells import in_file, is_empty, label_of, texts_of
from datamodules.sources.records import BadRecord, Record

ROW = Record(7, ("text", "stars", "no", "list", "half"), ("a", "1.10", None, ["a"], "\ud83d"), "")


def test_texts_and_labels_are_as_they_are_written():
    assert texts_of(ROW, ("text", "stars")) == ["a", "1.10"]
    assert (label_of(ROW, "stars"), label_of(ROW, "no")) == ("1.10", None)
    assert [is_empty(label) for label in (None, "", "\t ", "0", "null")] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: texts_of(ROW, ("no",)), "line 7: no is null, not a text"),
        (lambda: texts_of(ROW, ("half",)), "line 7: half has half a surrogate pair"),
        (lambda: label_of(ROW, "list"), r'line 7: list is \["a"\], not a label'),
        (lambda: label_of(ROW, "half"), "line 7: half has half a surrogate pair"),
        (lambda: label_of(ROW, "other"), "line 7: no column 'other'"),
        (lambda: label_of(BadRecord(3, "3 fields", ""), "stars"), "line 3: 3 fields"),
        (lambda: texts_of(BadRecord(3, "3 fields", ""), ("text",)), "line 3: 3 fields"),
    ],
)
def test_mistakes_have_their_line(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    with pytest.raises(ValueError, match=f"^a.csv, {message}"), in_file(Path("a.csv")):
        call()
    with pytest.raises(ValueError, match=r"^a.csv: there is nothing"), in_file(Path("a.csv")):
        raise ValueError("there is nothing")
