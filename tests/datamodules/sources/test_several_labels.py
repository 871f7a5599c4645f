"""Several labels of a row in users' files."""

import csv
import json

import pandas
import pytest

from datamodules import open_task
from datamodules.sources.opening import open_source
from datamodules.sources.records import Record
from datamodules.sources.several_labels import joined_labels, labels_of

ROWS = [["joy", "love"], [], None, ["anger"], ["love"], ["joy", "anger", "love"]]
NAMES = ("anger", "joy", "love")
KEYS = "train: a.{}\ndev: a.{}\ntext: text\n"


def marks(labels):
    return [-100] * 3 if labels is None else [int(name in labels) for name in NAMES]


def written(folder, ending, cells, keys):
    """Write rows with these cells of labels and their description, and return the task."""
    rows = [{"text": f"text {number}", **cell} for number, cell in enumerate(cells)]
    path = folder / f"a.{ending}"
    if ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif ending == "parquet":
        pandas.DataFrame(rows).to_parquet(path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if ending == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    (folder / "mine.yaml").write_text(KEYS.format(ending, ending) + keys)
    return open_task(str(folder / "mine.yaml"))


def lists():
    return [{"labels": labels} for labels in ROWS]


def texts(spell):
    return [{"labels": "" if labels is None else spell(labels)} for labels in ROWS]


def columns(*, one="1"):
    return [{name: "" if row is None else one if name in row else "0" for name in NAMES} for row in ROWS]


@pytest.mark.parametrize(
    ("ending", "cells", "keys"),
    [
        ("jsonl", lists(), "label: labels\nkind: multi_label\n"),
        ("parquet", lists(), "label: labels\nkind: multi_label\n"),
        ("csv", texts(json.dumps), "label: labels\nkind: multi_label\n"),
        ("tsv", texts(json.dumps), "label: labels\nkind: multi_label\nquoting: standard\n"),
        ("csv", texts(str), "label: labels\nkind: multi_label\n"),  # as pandas writes lists
        ("csv", texts(lambda labels: joined_labels(labels, "|")), "label: labels\nlabel_separator: '|'\n"),
        (
            "tsv",
            texts(lambda labels: joined_labels(labels, ", ")),
            "label: labels\nlabel_separator: ','\nquoting: none\n",
        ),
        ("csv", columns(), "label: [anger, joy, love]\n"),
        ("csv", columns(one="True"), "label: [anger, joy, love]\nkind: multi_label\n"),
        (
            "jsonl",
            [{name: int(cell[name] or 0) for name in NAMES} for cell in columns()],
            "label: [anger, joy, love]\n",
        ),
    ],
)
def test_every_form_has_the_same_labels(ending, cells, keys, tmp_path):
    task = written(tmp_path, ending, cells, keys)
    assert (task.label_names, task.problem.kind, task.metrics) == (NAMES, "multi_label", ("micro_f1",))
    rows = open_source(task, None).rows("train")
    all_known = ending == "jsonl" and "anger" in cells[0]  # numbers have no empty cell
    assert rows.labels == [marks([] if all_known and labels is None else labels) for labels in ROWS]
    assert rows.text_a == [f"text {number}" for number in range(6)]


def test_found_labels_are_counted_one_by_one(tmp_path, caplog):
    cells = [*texts("|".join), {"labels": "hate | love"}]
    task = written(tmp_path, "csv", cells, "label: labels\nlabel_separator: '|'\n")
    assert task.label_names == ("anger", "hate", "joy", "love")
    assert "4 labels in column labels of a.csv: anger (2), hate (1), joy (2), love (4)" in caplog.text


def test_coded_labels_and_columns_have_names(tmp_path):
    coded = written(
        tmp_path, "jsonl", [{"labels": [1, "x"]}], "label: labels\nkind: multi_label\nlabels: {x: a, 1: b}\n"
    )
    assert coded.label_names == ("a", "b")
    assert open_source(coded, None).rows("train").labels == [[1, 1]]
    keys = "label: [anger, joy, love]\nlabels: {anger: A, joy: J, love: L}\n"
    named = written(tmp_path, "csv", columns(), keys)
    assert named.label_names == ("A", "J", "L")
    assert open_source(named, None).rows("train").labels[0] == [0, 1, 1]


@pytest.mark.parametrize(
    ("ending", "cell", "message"),
    [
        ("jsonl", {"labels": ["joy", "hate"]}, "a.jsonl, line 2: label 'hate' is not one of anger, joy, love"),
        ("jsonl", {"labels": ["joy", "joy"]}, r"line 2: labels is .*, which has a label twice"),
        ("jsonl", {"labels": ["joy", None]}, "line 2: labels is .*, which has an item that is no label"),
        ("jsonl", {"labels": [["joy"]]}, "line 2: labels is .*, which has an item that is no label"),
        (
            "jsonl",
            {"labels": {"joy": 1}},
            'line 2: labels is .*, no list such as \\["a", "b"\\]: write label_separator',
        ),
        ("csv", {"labels": "joy|love"}, 'line 3: labels is .*, no list such as \\["a", "b"\\]: write label_separator'),
    ],
)
def test_a_wrong_cell_is_named_with_file_and_line(ending, cell, message, tmp_path):
    keys = "label: labels\nkind: multi_label\nlabels: [anger, joy, love]\n"
    task = written(tmp_path, ending, [{"labels": '["joy"]' if ending == "csv" else ["joy"]}, cell], keys)
    with pytest.raises(ValueError, match=message):
        open_source(task, None).rows("train")


def test_a_cell_of_a_column_is_one_or_zero(tmp_path):
    cells = [{"anger": "1", "joy": "0", "love": ""}]
    task = written(tmp_path, "csv", cells, "label: [anger, joy, love]\n")
    with pytest.raises(ValueError, match=r"a.csv, line 2: love is '', not 1 or 0"):
        open_source(task, None).rows("train")
    cells = [{"anger": "1", "joy": "0", "love": "2"}]
    task = written(tmp_path, "csv", cells, "label: [anger, joy, love]\n")
    with pytest.raises(ValueError, match=r"a.csv, line 2: love is '2', not 1 or 0"):
        open_source(task, None).rows("train")


def test_an_empty_cell_of_dev_is_refused_with_what_to_write(tmp_path):
    task = written(tmp_path, "jsonl", lists(), "label: labels\nkind: multi_label\n")
    with pytest.raises(ValueError, match=r"a.jsonl, line 3: labels is empty: write \[\] for a row that has none of"):
        open_source(task, None).rows("dev")


def test_a_list_without_the_kind_is_refused_with_what_to_write(tmp_path):
    with pytest.raises(
        ValueError, match=r"line 1: labels is .*, not a label: write kind: multi_label if a row may have"
    ):
        written(tmp_path, "jsonl", lists(), "label: labels\n")


def test_the_separator_and_the_kind_change_the_digest(tmp_path):
    separated = written(
        tmp_path, "csv", texts("|".join), "label: labels\nlabels: [joy, love, anger]\nlabel_separator: '|'\n"
    )
    first = open_source(separated, None).digest("train")
    other = written(tmp_path, "csv", texts("|".join), "label: labels\nlabels: [joy, love, anger]\n")
    assert open_source(other, None).digest("train") != first


@pytest.mark.parametrize("labels", [[], ["joy"], ["joy", 'so "so"', "ü"]])
@pytest.mark.parametrize("separator", [None, "|", ";"])
def test_what_is_joined_is_read_again(labels, separator):
    row = Record(2, ("text", "labels"), ("x", joined_labels(labels, separator)), "")
    assert labels_of(row, "labels", separator) == labels
