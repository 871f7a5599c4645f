"""Labels that are found in the rows of train."""

import csv
import json
import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules import GLUEDataModule, open_task
from datamodules.sources.found_labels import in_order, looks_like_a_score
from datamodules.sources.opening import open_source
from tests.own import write_own

KEYS = "{train: a.csv, dev: b.csv, text: body, label: stars}"


def write(folder, labels, keys=KEYS, name="a.csv"):
    """Write rows with these labels and their description, and return the path of the description."""
    with (folder / name).open("w", newline="") as file:
        csv.writer(file).writerows([("body", "stars"), *((f"text {n}", label) for n, label in enumerate(labels))])
    (folder / "mine.yaml").write_text(keys)
    return str(folder / "mine.yaml")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["yes", "no", "", "yes", "  "], ("no", "yes")),
        (["10", "9", "-1", "+2"], ("-1", "+2", "9", "10")),
        (["01", "1", "0"], ("0", "01", "1")),
        (["10", "9", "x"], ("10", "9", "x")),
        (["null", "None", "~"], ("None", "null", "~")),
        (["v1.10", "v1.9"], ("v1.10", "v1.9")),
        (['a "b", c', "ü\nd"], ('a "b", c', "ü\nd")),
    ],
)
def test_labels_are_the_values_of_train(values, names, tmp_path):
    task = open_task(write(tmp_path, values))
    assert (task.label_names, task.codes) == (names, names)
    rows = open_source(task, None).rows("train")
    assert [
        value if not value.strip() else names[label] for value, label in zip(values, rows.labels, strict=True)
    ] == values


@given(st.lists(st.integers(-99, 99).map(str), min_size=1), st.randoms())
def test_the_order_depends_on_no_row(labels, random):
    shuffled = random.sample(labels, len(labels))
    assert in_order(Counter(labels)) == in_order(Counter(shuffled))
    assert list(map(int, in_order(Counter(labels)))) == sorted(set(map(int, labels)))


@pytest.mark.parametrize(("task", "ending"), [("sst2", "csv"), ("mrpc", "tsv"), ("sst2", "jsonl")])
def test_they_are_the_same_task_as_named_labels(task, ending, tiny_task, tmp_path):
    path = write_own(task, tiny_task, tmp_path, ending)
    named = GLUEDataModule(str(path), None, str(tiny_task.encoder), cache_dir=str(tmp_path / "cache"))
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("labels:")))
    found = GLUEDataModule(str(path), None, str(tiny_task.encoder), cache_dir=str(tmp_path / "cache"))
    assert found.task == named.task
    for data in (named, found):
        data.setup("fit")
    assert found.state_dict() == named.state_dict()
    assert found.fingerprint("train") == named.fingerprint("train")


def test_they_are_told_once_with_their_numbers(tmp_path, caplog):
    path = write(tmp_path, ["good", "bad", "", "good"])
    open_task(path)
    open_task(path)
    told = "mine.yaml: 2 labels in column stars of a.csv: bad (1), good (2)"
    assert caplog.messages == [f"{told}; to fix names and order, name them under labels"]
    caplog.clear()
    open_task(write(tmp_path, [f"class {n:03}" for n in range(30)] * 3 + ["Class 000"]))
    assert caplog.messages[0].startswith("mine.yaml: 31 labels in column stars of a.csv: Class 000 (1), class 000 (3)")
    assert " and 11 more; to fix" in caplog.messages[0]
    assert caplog.messages[1:] == ["mine.yaml: the labels 'Class 000' and 'class 000' differ only in case or spaces"]


def test_only_the_first_process_of_a_fit_tells(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    open_task(write(tmp_path, ["one", "two"]))
    assert caplog.messages == []


def test_a_file_is_read_once_and_again_when_it_changed(tmp_path, monkeypatch):
    path, file = write(tmp_path, ["bad", "good"]), tmp_path / "a.csv"
    first = open_task(path)
    before = open_source(first, None).digest("train")
    with monkeypatch.context() as patch:
        patch.setattr("datamodules.sources.found_labels.hashed_records", None)
        assert open_task(path) == first
    state = file.stat()
    file.write_bytes(file.read_bytes().replace(b"good", b"fine"))  # of the same size
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    task = open_task(path)
    assert task.label_names == ("bad", "fine")
    # Rows of dev have other labels now, which counts as other content.
    file.with_name("b.csv").write_text("body,stars\nx,bad\n")
    assert open_source(task, None).digest("dev") != open_source(first, None).digest("dev")
    assert open_source(task, None).digest("train") != before


def test_other_labels_in_dev_are_an_error(tmp_path):
    write(tmp_path, ["bad", "fine"], name="b.csv")
    source = open_source(open_task(write(tmp_path, ["bad", "good"])), None)
    with pytest.raises(ValueError, match=r"b\.csv, line 3: label 'fine' is not one of bad, good"):
        source.rows("dev")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            ["2.5", "3", "3"],
            r"mine\.yaml: the column 'stars' of a\.csv has 2 distinct values in 3 rows \('2\.5', '3'\)",
        ),
        (["0.0", "1.0"], r"write labels: \[score\] for regression, or name the classes under labels"),
        (["1e-3", "2,5", "n/a"], "look like scores or texts"),
        ([str(n) for n in range(201)] * 3, r"201 distinct values in 603 rows \('0', '1', '2', \.\.\.\)"),
        ([f"text {n}" for n in range(21)], "21 distinct values in 21 rows"),
        (["good", "good", ""], r"mine\.yaml: the column 'stars' of a\.csv has only one label, 'good'"),
        (["", " "], r"mine\.yaml: the column 'stars' of a\.csv has no label in any row"),
        ([], r"mine\.yaml: the column 'stars' of a\.csv has no label in any row"),
    ],
)
def test_values_that_are_no_classes(values, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        open_task(write(tmp_path, values))


@pytest.mark.parametrize(
    "values", [["1", "2", "3"] * 9, [str(n) for n in range(200)] * 3, list("abcdefghijklmnopqrst")]
)
def test_values_that_may_be_classes(values):
    assert not looks_like_a_score(Counter(values))


def test_files_that_cannot_be_read(tmp_path):
    path = write(tmp_path, [])
    for content, message in (
        ("body,star\nx,y\n", r"a\.csv, line 1: no column 'stars', only 'body', 'star'"),
        ("body,stars\nx\n", r"a\.csv, line 2: 1 fields, the first line has 2"),
        ("", r"a\.csv: there is nothing in it"),
    ):
        (tmp_path / "a.csv").write_text(content)
        with pytest.raises(ValueError, match=message):
            open_task(path)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"mine\.yaml: it names no labels, and .*a\.csv, .* does not exist"):
        open_task(path)
    (tmp_path / "mine.yaml").write_text(
        json.dumps({"train": "a.csv", "dev": "b.csv", "text": "t", "label": "l", "kind": "grades"})
    )
    with pytest.raises(ValueError, match=r"line 1: labels of kind 'grades' are not found in rows: name them"):
        open_task(path)
