"""The description of a file of rows."""

import pytest
import yaml

from datamodules import open_task
from pipeline.describing.columns import Columns
from pipeline.describing.description import write_description
from stark.errors import StarkError


def test_it_is_a_task(tmp_path):
    rows = tmp_path / "my.reviews.csv"
    rows.write_text("id,body,stars\n" + "1,good,yes\n2,bad,no\n" * 20)
    path = write_description(rows, Columns(("body",), "stars", {}), tmp_path / "made", 0.25)
    task = open_task(str(path))
    assert (task.texts, task.label, task.label_names, task.sizes) == (("body",), "stars", ("no", "yes"), {"dev": 0.25})
    assert task.files["train"] == rows
    assert write_description(rows, Columns(("body",), "stars", {}), tmp_path / "made", 0.25) == path


def test_names_of_coded_labels_are_written(tmp_path):
    path = write_description(tmp_path / "a.csv", Columns(("a", "b"), "y", {"0": "no", "1": "yes"}), tmp_path, 0.1)
    assert yaml.safe_load(path.read_text())["labels"] == {"0": "no", "1": "yes"}
    assert open_task(str(path)).texts == ("a", "b")


def test_one_that_somebody_changed_is_not_replaced(tmp_path):
    path = write_description(tmp_path / "a.csv", Columns(("a",), "y", {}), tmp_path, 0.1)
    path.write_text(path.read_text() + "metrics: [macro_f1]\n")
    with pytest.raises(StarkError, match=r"a.yaml describes the rows otherwise: give it instead of a.csv if it is"):
        write_description(tmp_path / "a.csv", Columns(("a",), "y", {}), tmp_path, 0.1)
    assert "macro_f1" in path.read_text()


def test_lists_of_labels_are_of_their_kind(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a", "labels": ["x", "y"]}\n{"text": "b", "labels": []}\n')
    path = write_description(rows, Columns(("text",), "labels", {}, several=True), tmp_path, 0.1)
    assert (open_task(str(path)).kind, open_task(str(path)).label_names) == ("multi_label", ("x", "y"))
