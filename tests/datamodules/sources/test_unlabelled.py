"""Rows without labels, from files of several formats."""

import gzip
import json

import pytest

from datamodules.sources.unlabelled import UnlabelledSource
from datamodules.tasks.glue import find_task
from datamodules.tasks.record_format import record_format
from stark.errors import StarkError, StarkFileNotFoundError


def source(*paths, task="sst2"):
    return UnlabelledSource(find_task(task), tuple((path, record_format(str(path))) for path in paths))


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.csv").write_text('label,sentence\n1,"so, so"\n,\n')
    (tmp_path / "b.jsonl").write_text(json.dumps({"sentence": "fine", "id": 7}) + "\n")
    (tmp_path / "c.tsv.gz").write_bytes(gzip.compress(b'sentence\tx\n"good\t1\n'))
    return [tmp_path / name for name in ("a.csv", "b.jsonl", "c.tsv.gz")]


def test_rows_of_all_files_in_their_order(files, caplog):
    read = source(*files)
    rows = read.rows("unlabelled")
    assert (rows.text_a, rows.text_b, rows.labels) == (["so, so", "", "fine", '"good'], None, None)
    assert rows.idx == [0, 1, 2, 3]
    assert rows.digest == read.digest("unlabelled")
    assert "a.csv: 1 row has an empty text (line 3)" in caplog.text


def test_pairs(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("sentence2,sentence1\nb,a\n")
    rows = source(path, task="mrpc").rows("unlabelled")
    assert (rows.text_a, rows.text_b) == (["a"], ["b"])


def test_a_digest_is_of_content_and_order(files):
    first = source(*files).digest("unlabelled")
    assert source(*files[::-1]).digest("unlabelled") != first
    assert source(*files[:2]).digest("unlabelled") != first
    files[1].write_text(json.dumps({"sentence": "fine "}) + "\n")
    assert source(*files).digest("unlabelled") != first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\nso\n", r"rows.csv, line 1: .*no column 'sentence'"),
        ("sentence,x\nso\n", r"rows.csv, line 2: 1 fields, the first line has 2"),
        ("sentence,x\n", r"rows.csv: no rows in it \(rows without labels of task 'sst2'\)"),
    ],
)
def test_a_file_that_is_wrong(tmp_path, content, message):
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(StarkError, match=message):
        source(tmp_path / "rows.csv").rows("unlabelled")


def test_a_file_that_is_missing(tmp_path):
    for read in (source(tmp_path / "none.csv").digest, source(tmp_path / "none.csv").rows):
        with pytest.raises(StarkFileNotFoundError, match=r"none.csv: no such file \(rows without labels\)"):
            read("unlabelled")
