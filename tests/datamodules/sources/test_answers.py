"""A teacher's answers from files."""

import json

import pytest

from datamodules.sources.answers import read_answers
from datamodules.tasks.glue import find_task
from stark.errors import StarkError, StarkFileNotFoundError


def test_answers_of_all_files_in_their_order(tmp_path):
    (tmp_path / "a.csv").write_text(
        "sentence,predicted,probability_positive,probability_negative\nso,positive,0.75,0.25\ngood,positive,1,0\n"
    )
    line = {"probability_negative": 0.125, "probability_positive": 0.875, "sentence": "so", "cost": None}
    (tmp_path / "b.jsonl").write_text(json.dumps(line) + "\n")
    files = [str(tmp_path / name) for name in ("a.csv", "b.jsonl")]
    rows, values = read_answers(files, find_task("sst2"))
    assert (rows.text_a, rows.text_b, rows.labels, rows.idx) == (["so", "good", "so"], None, None, [0, 1, 2])
    assert values == [[0.25, 0.75], [0, 1], [0.125, 0.875]]
    other = read_answers(files[::-1], find_task("sst2"))
    assert other.rows.digest != rows.digest


def test_scores(tmp_path):
    (tmp_path / "a.csv").write_text("sentence1,sentence2,predicted\na,b,3.5\n")
    rows, values = read_answers([str(tmp_path / "a.csv")], find_task("stsb"))
    assert (rows.text_a, rows.text_b, values) == (["a"], ["b"], [[3.5]])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("so,0.5,0.6", r"a.csv, line 2: the probabilities 0.5, 0.6 must be at least 0 and add up to 1"),
        ("so,1.5,-0.5", r"line 2: the probabilities 1.5, -0.5 must be"),
        ("so,nan,1", r"line 2: probability_negative is 'nan', not a number"),
        ("so,,1", r"line 2: probability_negative is '', not a number"),
        ("so,0.5", r"line 2: 2 fields, the first line has 3"),
    ],
)
def test_an_answer_that_is_none(tmp_path, cells, message):
    (tmp_path / "a.csv").write_text(f"sentence,probability_negative,probability_positive\n{cells}\n")
    with pytest.raises(StarkError, match=message):
        read_answers([str(tmp_path / "a.csv")], find_task("sst2"))


def test_a_file_that_lacks_a_label_or_is_missing(tmp_path):
    (tmp_path / "a.csv").write_text("sentence,probability_negative\nso,1\n")
    with pytest.raises(StarkError, match=r"a.csv, line 1: .*no column 'probability_positive'"):
        read_answers([str(tmp_path / "a.csv")], find_task("sst2"))
    with pytest.raises(StarkFileNotFoundError, match=r"none.csv: no such file \(a teacher's answers\)"):
        read_answers([str(tmp_path / "none.csv")], find_task("sst2"))
