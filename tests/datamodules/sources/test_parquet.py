"""Parquet files are read as the same rows in JSON lines."""

import datetime
import io
import json

import pyarrow
import pytest
from pyarrow import parquet

from datamodules import GLUEDataModule
from datamodules.sources.opening import open_source, open_task
from datamodules.sources.parquet import parquet_lines
from datamodules.sources.records import open_records
from datamodules.tasks.record_format import record_format
from stark.errors import StarkError

COLUMNS = {
    "text": ["so, so", "", None, "gr\u00fcn \u4e2d"],
    "stars": [2, None, 3, 4],
    "score": [0.1, float("nan"), 2.5, 1e300],
    "day": [datetime.date(2026, 1, 2)] * 4,
    "tags": [["a"], [], None, ["b", "c"]],
}


def written(columns, **options):
    stream = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), stream, **options)
    return stream.getvalue()


@pytest.mark.parametrize("options", [{}, {"row_group_size": 1, "compression": "gzip"}])
def test_rows_are_those_of_json_lines(options):
    lines = [dict(zip(COLUMNS, cells, strict=True)) for cells in zip(*COLUMNS.values(), strict=True)]
    lines[1]["score"] = None
    expected = "".join(json.dumps(line, default=str) + "\n" for line in lines).encode()
    read = []
    for name, content in (("a.jsonl", expected), ("a.parquet", written(COLUMNS, **options))):
        with open_records(io.BytesIO(content), record_format(name)) as records:
            read.append([(row.line, row.values) for row in records])
    assert read[0] == read[1]
    assert len(read[0]) == 4


@pytest.mark.parametrize("content", [b"", b"text,label\na,b\n", written(COLUMNS)[:-9]])
def test_what_is_no_parquet_file(content):
    with pytest.raises(StarkError, match=r"^no Parquet file, or damaged: "), parquet_lines(io.BytesIO(content)):
        pass


def test_a_task_of_parquet_files(tmp_path, tiny_task):
    rows = {"body": ["good film", "bad film", "dull", "fine"] * 5, "stars": [5, 1, 1, 5] * 5}
    (tmp_path / "a.parquet").write_bytes(written(rows))
    (tmp_path / "a.csv").write_text(
        "body,stars\n" + "".join(f"{text},{star}\n" for text, star in zip(*rows.values(), strict=True))
    )
    batches = []
    for ending in ("parquet", "csv"):
        keys = f"train: a.{ending}\ndev: a.{ending}\nunlabelled: [a.{ending}]\ntext: body\nlabel: stars\n"
        (tmp_path / f"{ending}.yaml").write_text(f"{keys}labels: {{1: bad, 5: good}}\n")
        source = open_source(open_task(str(tmp_path / f"{ending}.yaml")), None)
        assert source.rows("train").digest == source.digest("train")
        data = GLUEDataModule(str(tmp_path / f"{ending}.yaml"), None, str(tiny_task.encoder), cache_dir=str(tmp_path))
        batches.append(list(data.train_dataloader()))
    for first, second in zip(*batches, strict=True):
        assert all((first[name] == second[name]).all() for name in first)
    (tmp_path / "cut.parquet").write_bytes(written(rows)[:-20])
    (tmp_path / "parquet.yaml").write_text((tmp_path / "parquet.yaml").read_text().replace("train: a.", "train: cut."))
    with pytest.raises(StarkError, match=r"cut\.parquet: no Parquet file, or damaged"):
        open_source(open_task(str(tmp_path / "parquet.yaml")), None).rows("train")
