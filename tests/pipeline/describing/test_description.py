"""The description of a file of rows."""

import pytest
import yaml
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from datamodules import open_task
from pipeline.describing.columns import Columns
from pipeline.describing.description import RowsPlace, described, is_rows, write_description
from stark.errors import StarkError


def write(rows, columns, folder, held_out):
    return write_description(RowsPlace(rows).parts(str(columns.label), held_out), columns, folder, rows.name)


def test_it_is_a_task(tmp_path):
    rows = tmp_path / "my.reviews.csv"
    rows.write_text("id,body,stars\n" + "1,good,yes\n2,bad,no\n" * 20)
    path = write(rows, Columns(("body",), "stars", {}), tmp_path / "made", 0.25)
    task = open_task(str(path))
    assert (task.texts, task.label, task.label_names, task.sizes) == (("body",), "stars", ("no", "yes"), {"dev": 0.25})
    assert task.files["train"] == rows
    assert write(rows, Columns(("body",), "stars", {}), tmp_path / "made", 0.25) == path


def test_names_of_coded_labels_are_written(tmp_path):
    path = write(tmp_path / "a.csv", Columns(("a", "b"), "y", {"0": "no", "1": "yes"}), tmp_path, 0.1)
    assert yaml.safe_load(path.read_text())["labels"] == {"0": "no", "1": "yes"}
    assert open_task(str(path)).texts == ("a", "b")


def test_one_that_somebody_changed_is_not_replaced(tmp_path):
    path = write(tmp_path / "a.csv", Columns(("a",), "y", {}), tmp_path, 0.1)
    path.write_text(path.read_text() + "metrics: [macro_f1]\n")
    with pytest.raises(StarkError, match=r"a.yaml describes the rows otherwise: give it instead of a.csv if it is"):
        write(tmp_path / "a.csv", Columns(("a",), "y", {}), tmp_path, 0.1)
    assert "macro_f1" in path.read_text()


def test_lists_of_labels_are_of_their_kind(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a", "labels": ["x", "y"]}\n{"text": "b", "labels": []}\n')
    path = write(rows, Columns(("text",), "labels", {}, several=True), tmp_path, 0.1)
    assert (open_task(str(path)).kind, open_task(str(path)).label_names) == ("multi_label", ("x", "y"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("rows.csv", "a.parquet", "SetFit/subj", "folder", "./mrpc")),
        *((name, False) for name in ("mrpc", "mprc", "a.yaml", "a/b/c", "./none")),
    ],
)
def test_names_of_rows(tmp_path, monkeypatch, name, expected):
    monkeypatch.chdir(tmp_path)
    for folder in ("folder", "mrpc"):  # such as the folder of a run, so that the task's name stays that of the task
        (tmp_path / folder).mkdir()
    assert is_rows(name) is expected


def test_a_data_set_is_described(tmp_path, capsys, monkeypatch):
    names = ["subjective", "objective"]
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    rows = Dataset.from_dict({"text": [f"row {n}" for n in range(40)], "label": [0, 1] * 20}, features=features)
    DatasetDict(train=rows, test=rows).save_to_disk(str(tmp_path / "data/my.subj"))
    monkeypatch.chdir(tmp_path)
    path = described("data/../data/my.subj", tmp_path / "made")
    told = "data/../data/my.subj: text: text, label: label; train: train, dev: test; described in "
    assert capsys.readouterr().err.splitlines()[-1] == f"{told}{path}"
    assert yaml.safe_load((tmp_path / "made/my.yaml").read_text()) == {
        **{"dataset": str(tmp_path / "data/my.subj"), "train": "train", "dev": "test", "text": "text", "label": "label"}
    }
    task = open_task(path)
    assert (task.label_names, task.splits) == (tuple(names), ("train", "dev"))
    assert described(str(tmp_path / "data/my.subj"), tmp_path / "made") == path


def test_a_column_of_groups_is_written(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label,author\na,no,x\nb,yes,y\n")
    columns = Columns(("text",), "label", {}, group="author")
    path = write(tmp_path / "rows.csv", columns, tmp_path, 0.5)
    assert open_task(str(path)).group == "author"
