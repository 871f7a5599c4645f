"""What goes from a file of rows to ONNX: the rows that are made, and the scores of what was written."""

import csv
import json
import random
import sys

import pytest
import torch

from experiments import from_file
from experiments.from_file import ROWS, Rows, go, write_ranked
from stark.problems.table import problem_for


@pytest.fixture
def pairs(tmp_path, monkeypatch):
    """STS-B's file with 40 pairs, all of which become queries."""
    monkeypatch.setattr(from_file, "_QUERIES", 40)
    monkeypatch.setattr(from_file, "_HELD_OUT", 10)
    folder = tmp_path / "data/glue/STS-B"
    folder.mkdir(parents=True)
    lines = ["\t".join(["x"] * 7 + [f"query {n}", f"document {n}", f"{n % 5}.5"]) for n in range(40)]
    (folder / "train.tsv").write_text("\n".join(["head", *lines]) + "\n")
    return tmp_path


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_queries_have_one_document_of_their_own_and_parts_share_nothing(pairs):
    write_ranked(pairs / "data", pairs / "ranked")
    parts = {part: read(pairs / f"ranked/{part}.csv") for part in ("train", "test")}
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 30 * 5, "test": 10 * 5}
    for rows in parts.values():
        for first in range(0, len(rows), 5):
            number = rows[first]["query"].split()[1]
            assert [rows[first][key] for key in ("document", "relevance")] == [
                f"document {number}",
                f"{int(number) % 5}.5",
            ]
            others = rows[first + 1 : first + 5]
            assert {row["query"] for row in others} == {rows[first]["query"]}
            assert {row["relevance"] for row in others} == {"0"}
            assert len({row["document"] for row in rows[first : first + 5]}) == 5
    for column in ("query", "document"):
        assert not {row[column] for row in parts["train"]} & {row[column] for row in parts["test"]}


def test_scores_are_those_of_the_project(pairs):
    scores = {rows.score[0]: rows.score[1] for rows in ROWS}
    draw = random.Random(0)
    assert scores["accuracy"]([{"gold_label": "a", "predicted": one} for one in "aab"]) == pytest.approx(2 / 3)
    labels = [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
    said = [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    rows = [
        {"labels": [name for name, has in zip("abc", own, strict=True) if has], "predicted": other}
        for own, other in zip(labels, (["b"], ["a", "c"]), strict=True)
    ]
    micro = problem_for(["a", "b", "c"], "multi_label").score_function(["micro_f1"])
    assert scores["micro F1"](rows) == pytest.approx(float(micro(torch.tensor(said), torch.tensor(labels))))
    ranked = [
        {"query": f"q{n // 5}", "relevance": str(draw.choice([0, 0, 1.5, 3])), "predicted": str(draw.random())}
        for n in range(100)
    ]
    values = torch.tensor([float(row["predicted"]) for row in ranked])
    found = []
    for first in range(0, 100, 5):
        gains = torch.tensor([float(row["relevance"]) for row in ranked[first : first + 5]])
        if not gains.any():
            continue
        order = values[first : first + 5].argsort(descending=True)
        discounts = torch.arange(2, 7).log2()
        found.append(float((gains[order] / discounts).sum() / (gains.sort(descending=True)[0] / discounts).sum()))
    assert scores["nDCG@10"](ranked) == pytest.approx(sum(found) / len(found), abs=1e-6)


def test_lost_rows_are_noticed(tmp_path, monkeypatch):
    test = tmp_path / "data/test.jsonl"
    test.parent.mkdir()
    test.write_text('{"text": "a", "labels": []}\n{"text": "b", "labels": []}\n')
    rows, calls = Rows("own", "train.jsonl", "test.jsonl", ("rows", len)), []

    def call(arguments):
        calls.append(arguments[0])
        if arguments[0] == "predict-file":
            output = arguments[arguments.index("--output") + 1]
            with open(output, "w") as file:
                file.writelines(f"{json.dumps({'predicted': []})}\n" for _ in range(kept))

    monkeypatch.setattr(from_file, "_call", call)
    kept = 2
    for folder in ("finetune/model", "student", "student-onnx-int8"):
        (tmp_path / "own" / folder).mkdir(parents=True)
    assert go(rows, tmp_path / "data", tmp_path, tmp_path)[:3] == ["own, rows", "2", "200.0"]
    assert calls == ["run", *["predict-file"] * 3]
    kept = 1
    with pytest.raises(ValueError, match=r"has 1 rows, and .*test\.jsonl has 2"):
        go(rows, tmp_path / "data", tmp_path, tmp_path)


def test_a_data_set_that_is_not_there(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["from_file", "--encoder", "e", "--data", "d", "--only", "mnlj"])
    with pytest.raises(ValueError, match="the plan has no data set 'mnlj': name some of goemotions, clinc150, mnli"):
        from_file.main()
