"""Own tasks: the same rows in another form are the same batches."""

import json

import pytest
import torch

from datamodules import GLUEDataModule, open_task, read_own_task
from datamodules.sources import open_source
from tests.own import write_own


@pytest.mark.parametrize(("task", "ending"), [("sst2", "csv"), ("mrpc", "tsv"), ("stsb", "jsonl")])
def test_batches_are_those_of_glue(task, ending, tiny_task, tmp_path):
    path = write_own(task, tiny_task, tmp_path, ending)
    glue = tiny_task.data(task)
    own = GLUEDataModule(
        str(path), None, str(tiny_task.encoder), batch_size=16, cache_dir=str(tmp_path / "cache"), seed=1
    )
    assert own.metrics == (["accuracy"] if task == "sst2" else glue.metrics)
    assert own.label_names == (["0", "1"] if task == "mrpc" else glue.label_names)
    for stage, name in (
        ("fit", "train_dataloader"),
        ("validate", "val_dataloader"),
        ("test", "test_dataloader"),
        ("predict", "predict_dataloader"),
    ):
        pairs = []
        for data in (glue, own):
            data.setup(stage)
            pairs.append(list(getattr(data, name)()))
        assert len(pairs[0]) == len(pairs[1]) > 0
        for first, second in zip(*pairs, strict=True):
            assert first.keys() == second.keys()
            assert all(torch.equal(first[key], second[key]) for key in first)


def test_what_columns_mean_is_part_of_the_content(tiny_task, tmp_path):
    path = write_own("sst2", tiny_task, tmp_path, "csv")
    first = open_source(open_task(str(path)), None).digest("train")
    assert open_source(open_task(str(path)), None).digest("train") == first
    assert open_source(open_task(str(path)), None).rows("train").digest == first
    text = path.read_text()
    for changed in (text.replace("[negative, positive]", "[positive, negative]"), text + "metrics: [f1]\n"):
        path.write_text(changed)
        assert open_source(open_task(str(path)), None).digest("train") != first
    # Where the files lie is not.
    path.write_text(text)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.csv").rename(moved / f"{split}.csv")
    assert open_source(open_task(str(path), str(moved)), None).digest("train") == first
    with pytest.raises(FileNotFoundError, match=r"train\.csv: no such file"):
        open_source(open_task(str(path)), None).digest("train")


GOOD = {"train": "a.csv", "dev": "b.csv", "text": "body", "label": "stars", "labels": ["bad", "good"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trian": "x.csv"}, r"mine\.yaml: unknown key 'trian', choose out of train, dev, text, label"),
        ({"dev": None}, r"mine\.yaml: no dev, it needs train, dev, text, label, labels"),
        ({"text": 3}, r"mine\.yaml: text is 3, not a column"),
        ({"train": ["x"]}, r"mine\.yaml: train is \['x'\], not a file"),
        ({"labels": "good"}, r"mine\.yaml: labels is 'good', not a list"),
        ({"labels": ["a", "a"]}, r"mine\.yaml: labels are \['a', 'a'\]: name each one once"),
        ({"labels": []}, r"mine\.yaml: labels are \[\]: name each one once"),
        ({"metrics": ["f2"]}, r"metric 'f2' is not for 2 labels, choose out of accuracy, f1, matthews_corrcoef"),
        ({"labels": ["a", "b", "c"], "metrics": ["f1"]}, r"'f1' is not for 3 labels, choose out of accuracy, matthews"),
        ({"labels": ["score"], "metrics": ["accuracy"]}, r"is not for 1 labels, choose out of pearson, spearmanr"),
        ({"dev": "b.xlsx"}, r"b\.xlsx: its ending is none of"),
    ],
)
def test_mistakes_in_a_description(change, message, tmp_path):
    (tmp_path / "mine.yaml").write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(ValueError, match=message):
        read_own_task(tmp_path / "mine.yaml")


def test_files_that_are_no_description(tmp_path):
    for content, message in (("[1]", "is no description of a task"), ("{", "is no YAML")):
        (tmp_path / "mine.yaml").write_text(content)
        with pytest.raises(ValueError, match=message):
            read_own_task(tmp_path / "mine.yaml")
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_task("nowhere.yaml")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["body,stars", "x,best"], r"a\.csv, line 2: label 'best' is not one of bad, good"),
        (["body,star", "x,good"], r"a\.csv, line 2: no column 'stars', only body, star"),
        (["text,stars", "x,good"], r"a\.csv, line 2: no column 'body', only text, stars"),
        (["body,stars", "x,good", "y"], r"a\.csv, line 3: 1 fields, the first line has 2"),
        (["body,stars"], r"a\.csv: no rows in it \(the train split of task 'mine'\)"),
        ([], r"a\.csv: there is nothing in it"),
    ],
)
def test_bad_rows_are_named(lines, message, tmp_path):
    (tmp_path / "mine.yaml").write_text(json.dumps(GOOD))
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        open_source(open_task(str(tmp_path / "mine.yaml")), None).rows("train")


def test_labels_of_json_may_be_numbers(tmp_path):
    (tmp_path / "mine.yaml").write_text(json.dumps({**GOOD, "train": "a.jsonl", "labels": [0, 1]}))
    (tmp_path / "a.jsonl").write_text('{"body": "x", "stars": 1}\n{"body": "y", "stars": 0}\n')
    assert open_source(open_task(str(tmp_path / "mine.yaml")), None).rows("train").labels == [1, 0]
    (tmp_path / "a.jsonl").write_text('{"body": null, "stars": 1}\n')
    with pytest.raises(ValueError, match="line 1: body is None, not a text"):
        open_source(open_task(str(tmp_path / "mine.yaml")), None).rows("train")
    (tmp_path / "mine.yaml").write_text(json.dumps({**GOOD, "train": "a.jsonl", "labels": ["points"]}))
    (tmp_path / "a.jsonl").write_text('{"body": "x", "stars": 1.5}\n{"body": "y", "stars": "NaN"}\n')
    with pytest.raises(ValueError, match="line 2: score 'NaN' is not a number"):
        open_source(open_task(str(tmp_path / "mine.yaml")), None).rows("train")
