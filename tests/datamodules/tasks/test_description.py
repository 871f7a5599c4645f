"""Descriptions of users' own tasks."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.tasks.description import read_description, with_labels

GOOD = {"train": "a.csv", "dev": "b.csv", "text": "body", "label": "stars", "labels": ["bad", "good"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trian": "x.csv"}, r"mine\.yaml, line 1: unknown key 'trian', choose out of train, dev, text, label"),
        ({"dev": None}, r"mine\.yaml: no dev: name its file, or take a part of train for it by split: \{dev: 0\.1\}"),
        ({"text": None}, r"mine\.yaml: no text, it needs train, text, label and dev"),
        (
            {"split": {"dev": "0.1"}},
            r"mine\.yaml, line 1: split, dev: the key dev names a file for it: remove one of both",
        ),
        (
            {"split": {"test": "0.1", "train": "0.8"}},
            r"line 1: split, train: choose out of dev and test; the other rows",
        ),
        ({"split": {"test": None}}, r"line 1: split: 'test' is there twice, or there is a null: name each one once"),
        *(
            (
                {"split": {"test": size}},
                f"line 1: split, test: '{size}' is neither a fraction between 0 and 1 nor a number",
            )
            for size in (0, "0.0", "1.0", 1.5, -1, "1e-1", "nan", "10%", "1_000", "", "5.")
        ),
        (
            {"split": {"dev": 0.5, "test": 0.5}, "dev": None},
            r"line 1: split is .*: give fractions whose sum is below 1",
        ),
        ({"split": {}}, r"line 1: split is \{\}: give fractions whose sum is below 1"),
        *(
            ({"split": split}, r"line 1: split is .*, not a mapping such as \{dev: 0\.1, test: 0\.1\}")
            for split in ("0.1", ["dev"])
        ),
        ({"train": ["x"]}, r"mine\.yaml, line 1: train is \['x'\], not a file"),
        ({"label": {"x": "y"}}, r"mine\.yaml, line 1: there is a list or a mapping where a word belongs"),
        ({"label": ["x", "x"], "labels": None}, r"mine\.yaml, line 1: label is \['x', 'x'\]: name each column once"),
        ({"label": [], "labels": None}, r"mine\.yaml, line 1: label is \[\]: name each column once"),
        (
            {"label": ["x", "y"]},
            r"line 1: labels are bad, good, and the columns of label x, y: leave labels out, or map",
        ),
        (
            {"label": ["x"], "labels": None, "kind": "regression"},
            r"line 1: kind is 'regression', but label is for rows",
        ),
        ({"label_separator": "|", "kind": "classification"}, r"kind is 'classification', but label_separator is for"),
        ({"label_separator": "|", "label": ["x"], "labels": None}, r"label_separator is '\|': give what is between"),
        ({"label_separator": ""}, r"line 1: label_separator is '': give what is between the labels of a row, such as"),
        ({"label_separator": ["|"]}, r"line 1: label_separator is \['\|'\], not a word"),
        ({"unlabelled": "x.csv"}, r"mine\.yaml, line 1: unlabelled is 'x\.csv', not a list"),
        ({"unlabelled": ["x.csv", "y.xlsx"]}, r"mine\.yaml, line 1: y\.xlsx: its ending is none of"),
        ({"labels": "good"}, r"mine\.yaml, line 1: labels is 'good', not a list"),
        ({"labels": ["a", "a"]}, r"mine\.yaml, line 1: labels are \['a', 'a'\]: name each one once"),
        ({"labels": {"0": "a", "1": "a"}}, r"mine\.yaml, line 1: labels are \['a', 'a'\]: name each one once"),
        ({"labels": {"0": None}}, r"mine\.yaml, line 1: labels: '0' is there twice, or there is a null"),
        ({"labels": {"0": ["a"]}}, r"mine\.yaml, line 1: there is a list or a mapping where a word belongs"),
        ({"labels": []}, r"mine\.yaml, line 1: labels are \[\]: name each one once"),
        ({"labels": ["a", ["b"]]}, r"mine\.yaml, line 1: there is a list or a mapping where a word belongs"),
        ({"text": {"a": "b"}}, r"mine\.yaml, line 1: there is a list or a mapping where a word belongs"),
        ({"labels": [None, "yes"]}, r"mine\.yaml, line 1: an item of labels is null: if it is a word, put it in"),
        ({"dev": "b.xlsx"}, r"mine\.yaml, line 1: b\.xlsx: its ending is none of"),
        ({"delimiter": ";;"}, r"mine\.yaml, line 1: delimiter is ';;': give a single character"),
        ({"quoting": "some"}, r"quoting is 'some': choose one of auto, none, standard"),
        ({"encoding": "utf-99"}, r"encoding is 'utf-99', which is not known"),
        ({"header": "no"}, r"header is 'no': choose true or false"),
        ({"delimiter": ";", "train": "a.jsonl"}, r"a\.jsonl: delimiter is ';', but JSON lines have none"),
    ],
)
def test_mistakes_in_a_description(change, message, tmp_path):
    (tmp_path / "mine.yaml").write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(ValueError, match=message):
        read_description(tmp_path / "mine.yaml")


def test_files_that_are_no_description(tmp_path):
    laughs = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    for content, message in (
        *((b"[1]", "is no description of a task"), (b"", "is no description"), (b"{", "is no YAML")),
        *((b"\xff", "is no YAML"), (laughs.encode(), "is no YAML: with its aliases"), (b"&a [*a]", "leads back")),
        (b"train: a.csv\ntrain: b.csv", r"mine\.yaml, line 2: the key 'train' is there twice"),
        (b"train: a.csv\ntext: !!int x", r"mine\.yaml, line 2: there is a tag \(tag:yaml\.org,2002:int\)"),
        (b"text: !!python/object/apply:os.getcwd []", "line 1: there is a tag"),
    ):
        (tmp_path / "mine.yaml").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_description(tmp_path / "mine.yaml")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_description(tmp_path / "nowhere.yaml")


@settings(deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=2, unique=True))
def test_found_labels_can_be_written_into_it(tmp_path_factory, labels):
    path = tmp_path_factory.getbasetemp() / "mine.yaml"
    keys = {**GOOD, "text": "no", "delimiter": "\\t", "metrics": ["macro_f1", "accuracy"], "header": "false"}
    path.write_text(json.dumps({**keys, "labels": None}), encoding="utf-8")
    assert read_description(path).labels is None
    found = read_description(path)
    path.write_bytes(with_labels(path, labels))
    completed = read_description(path)
    assert list(completed.labels.items()) == list(zip(labels, labels, strict=True))
    assert replace(completed, labels=None, lines={}) == replace(found, lines={})
    assert with_labels(path, ["others"]) == path.read_bytes()


@pytest.mark.parametrize("kind", [None, "multi_label"])
def test_columns_of_one_and_zero_and_a_separator_say_the_kind(kind, tmp_path):
    for change in ({"label": ["x", "y"], "labels": None}, {"label_separator": " / "}):
        (tmp_path / "mine.yaml").write_text(json.dumps({**GOOD, **change, "kind": kind}))
        found = read_description(tmp_path / "mine.yaml")
        assert found.kind == "multi_label"
        if "label" in change:
            assert (found.label, found.labels, found.separator) == (("x", "y"), {"x": "x", "y": "y"}, None)
        else:
            assert (found.label, found.separator) == ("stars", " / ")


def test_parts_of_train_have_its_file_and_format(tmp_path):
    keys = {**GOOD, "train": "a.tsv.gz", "test": "c.jsonl", "split": {"dev": 0.25}}
    (tmp_path / "mine.yaml").write_text(json.dumps({key: value for key, value in keys.items() if key != "dev"}))
    description = read_description(tmp_path / "mine.yaml")
    assert {split: path.name for split, path in description.files.items()} == {
        **{"train": "a.tsv.gz", "dev": "a.tsv.gz", "test": "c.jsonl"}
    }
    assert description.formats["dev"] == description.formats["train"] != description.formats["test"]
    assert description.sizes == {"dev": 0.25}
    (tmp_path / "mine.yaml").write_text(
        json.dumps({**keys, "dev": None, "test": None, "split": {"test": 7, "dev": ".5"}})
    )
    assert read_description(tmp_path / "mine.yaml").sizes == {"dev": 0.5, "test": 7}
    assert isinstance(read_description(tmp_path / "mine.yaml").sizes["test"], int)
