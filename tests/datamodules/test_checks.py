"""Splits whose score has little meaning are reported."""

import pytest
import torch

from datamodules import GLUEDataModule, TokenColumns
from datamodules.checks import doubts_of, same_rows
from stark.problems.table import problem_for


def columns(texts, labels=None):
    tensors = {
        "input_ids": torch.tensor([token for text in texts for token in text], dtype=torch.int32),
        "lengths": torch.tensor([len(text) for text in texts]),
        "idx": torch.arange(len(texts)),
    }
    return TokenColumns.from_tensors(tensors | ({} if labels is None else {"labels": torch.tensor(labels)}))


@pytest.mark.parametrize(
    ("labels", "names", "doubt"),
    [
        ([0, 1, 1], "ab", None),
        ([0, 1, -100], "ab", None),
        ([0, 1], "abcdefghij", "part has no row of 'c', 'd', 'e', 'f', 'g' and 3 more"),
        ([1, 1], "abc", "part has only rows of 'b', so that nothing can be learned or measured on it"),
        ([1.5, float("nan"), 2.0], ["score"], None),
        (
            [1.5, float("nan"), 1.5],
            ["score"],
            "part has only rows of the score 1.5, so that nothing can be learned or measured on it",
        ),
    ],
)
def test_labels_that_are_missing(labels, names, doubt):
    rows = columns([[1]] * len(labels), labels)
    assert doubts_of({"part": rows}, problem_for(names)) == ([] if doubt is None else [doubt])


def test_queries_without_a_relevant_row():
    rows = columns([[1]] * 4, [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [float("nan"), float("nan")]])
    told = "dev has 1 of 2 queries without a relevant row, which its metrics leave out"
    assert doubts_of({"dev": rows}, problem_for(["relevance"], "ranking")) == [told]
    none = columns([[1]] * 2, [[0.0, 0.0], [0.0, 1.0]])
    (line,) = doubts_of({"dev": none}, problem_for(["relevance"], "ranking"))
    assert line.startswith("dev has only rows of the score 0, so that nothing can be learned or measured on it")


def test_the_same_texts_in_any_order():
    rows = columns([[1, 2], [3], [1, 2]])
    assert same_rows(rows, columns([[3], [1, 2], [1, 2]]))
    assert not same_rows(rows, columns([[3], [1, 2], [3, 2]]))
    assert not same_rows(rows, columns([[3], [1, 2]]))


def test_they_are_told_once(tiny_task, tmp_path, caplog):
    rows = [f"film {number},{'abc'[number % 2]}" for number in range(40)] + ["film 40,c"]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]))
    (tmp_path / "b.csv").write_text("\n".join(["text,label", *reversed(rows), "more,a"]))
    for dev in ("b.csv", "a.csv"):
        description = f"{{train: a.csv, dev: {dev}, text: text, label: label, labels: [a, b, c, d]}}"
        (tmp_path / f"doubtful_{dev[0]}.yaml").write_text(description)
        data = GLUEDataModule(
            str(tmp_path / f"doubtful_{dev[0]}.yaml"), None, str(tiny_task.encoder), cache_dir=str(tmp_path / "cache")
        )
        for stage in ("fit", "test"):
            data.setup(stage)
        for _ in range(2):
            data.train_dataloader(), data.test_dataloader()
    told = [message for message in caplog.messages if message.startswith("warning: task 'doubtful_")]
    parts = ["the selection part has no row of 'c', 'd'", "train has no row of 'd'"]
    same = "dev has the same texts as train, so that a score on it does not hold for other rows"
    assert sorted(told) == sorted(
        [f"warning: task 'doubtful_{name}': {doubt}" for name in "ab" for doubt in [*parts, "dev has no row of 'd'"]]
        + [f"warning: task 'doubtful_a': {same}"]
    )
