"""The experiments on students end to end on tiny data: run, continued, and written to the page."""

import sys
from types import SimpleNamespace

import pytest
import torch
import yaml

import cli
from experiments import __main__ as command
from experiments import data, students
from experiments.page import _compared
from experiments.plan import Cell, read_plan
from experiments.results import INT8_TEACHER, TEACHER, Results, Row
from pipeline.fits.isolation import stark_command
from pipeline.results.summary import Summary

PLAN = {
    "settings": {
        "finetuning.epochs": 1,
        "distillation.epochs": 2,
        "data.batch_size": 16,
        "teacher.sparsities": [],
        "search.mode": "none",
        "baselines": ["simple"],
    },
    "seeds": [1, 2],
    "tasks": {"sst2": {}},
    "recipes": {
        "logits": {"baselines": ["no_teacher", "simple"]},
        "rows without labels": {
            "base": "logits",
            "data.unlabelled": ["{data}/unlabelled.csv"],
            "data.unlabelled_ratio": 1,
        },
        "sparse teacher": {"base": "logits", "teacher.lams": [0.5], "teacher.sparsities": [0.2]},
        "longer": {"base": ["logits", "rows without labels"], "steps": 2},
    },
    "cells": [
        {"task": "sst2", "labels": 40, "sparsity": 0.5, "steps": 8},
        {"task": "sst2", "labels": 40, "sparsity": 0.7, "steps": 8},
    ],
}


def here(asked, check):
    assert asked[:3] == stark_command([])
    cli.main(asked[3:])  # in this process, because another one would import everything again


def run(folder, tiny_task, monkeypatch, work=here):
    monkeypatch.setattr(students, "subprocess", SimpleNamespace(run=work))
    arguments = ["--plan", folder / "plan.yaml", "--docs", folder / "docs", "--root", folder / "runs"]
    arguments += ["--encoder", tiny_task.encoder, "--data", folder / "original"]
    monkeypatch.setattr(sys, "argv", ["experiments", *map(str, arguments)])
    command.main()


@pytest.mark.slow
def test_recipes_are_measured_once_and_compared(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "_LABELLED", 70)
    monkeypatch.setattr(data, "_HELD_OUT", 25)
    (tmp_path / "original").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "original/glue").symlink_to(tiny_task.data_dir)
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN, sort_keys=False))
    parts = "".join(f"<!-- {part} -->\n<!-- /{part} -->\n" for part in ("scores", "over_teacher", "differences"))
    (tmp_path / "docs/results.md").write_text(f"By hand.\n{parts}The end.\n")
    run(tmp_path, tiny_task, monkeypatch)
    plan, results = read_plan(tmp_path / "plan.yaml"), Results(tmp_path / "docs")
    for cell in plan.cells:
        assert [len(results.values(cell.name, name, "score")) for name in (TEACHER, "no_teacher")] == [1, 2]
        said = results.predictions(cell.name)
        for recipe in plan.recipes:
            accuracies = [float((one == said["labels"]).double().mean()) for one in said[recipe.name]]
            assert results.values(cell.name, recipe.name, "accuracy") == pytest.approx(accuracies)
            assert len(results.values(cell.name, recipe.name, "glue_dev_accuracy")) == 2
        for other in (INT8_TEACHER, "TF-IDF", "frozen encoder"):
            accuracy = float((said[other][0] == said["labels"]).double().mean())
            assert results.values(cell.name, other, "score") == pytest.approx([accuracy])
    # All sizes of student have one teacher.
    first, second = (results.values(cell.name, TEACHER, "accuracy") for cell in plan.cells)
    assert first == second
    summary = Summary.read(tmp_path / "runs" / plan.cells[1].name)
    assert {model.teacher_sparsity for model in summary.models if model.seed} == {0.0}  # the last recipe's
    page = (tmp_path / "docs/results.md").read_text()
    assert page.startswith("By hand.\n<!-- scores -->")
    assert page.count("| sparse teacher |") == 3
    assert page.count("| mean embeddings |") == 2
    assert page.count("| longer | logits |") == page.count("| longer | rows without labels |") == 1
    # The seeds' mean is compared with the teacher that all have.
    cell = plan.cells[0].name
    means = [torch.tensor(results.values(cell, name, "score")).mean() for name in ("longer", TEACHER)]
    row = next(line for line in page.split("over_teacher")[1].splitlines() if line.startswith("| longer |"))
    assert row.split("|")[2].split("[")[0].strip() == f"{100 * float(means[0] - means[1]):+.2f}"
    assert page.endswith("The end.\n")
    run(tmp_path, tiny_task, monkeypatch, work=None)
    assert (tmp_path / "docs/results.md").read_text() == page


def test_results_are_kept(tmp_path):
    results = Results(tmp_path)
    labels = torch.tensor([0, 1, 149])
    first = Row("a", "logits", 1, "score", 0.1 + 0.2, 1.5)
    results.add("a", [first], labels, {"logits": torch.tensor([[0, 1, 148]])})
    results.add("a", [Row("a", "teacher", None, "score", 0.5, None)], labels, {"teacher": torch.tensor([[1, 1, 1]])})
    again = Results(tmp_path)
    assert again.rows == [first, Row("a", "teacher", None, "score", 0.5, None)]
    assert again.has("a", "logits", [1])
    assert not again.has("a", "logits", [1, 2])
    assert again.predictions("a")["logits"].tolist() == [[0, 1, 148]]
    assert again.predictions("a")["labels"].tolist() == [0, 1, 149]
    results.add("a", [Row("a", "logits", 1, "score", 0.25, 1.5)], labels, {"logits": torch.tensor([[0, 0, 0]])})
    assert Results(tmp_path).values("a", "logits", "score") == [0.25]
    scores = torch.tensor([0.5, 3.25])
    results.add("b", [first], scores, {"logits": torch.tensor([[0.125, 4.0]])})
    assert Results(tmp_path).predictions("b")["logits"].tolist() == [[0.125, 4.0]]


def test_two_processes_add_to_the_same_files(tmp_path):
    first, second = Results(tmp_path), Results(tmp_path)
    labels = torch.tensor([[0, 1], [1, 1]])
    own = [Row("a", recipe, 1, "score", 0.5, 1.5) for recipe in ("logits", "teacher")]
    first.add("a", own[:1], labels, {"logits": torch.tensor([[[0, 1], [1, 0]]])})
    second.add("a", own[1:], labels, {"teacher": torch.tensor([[[1, 1], [1, 1]]])})
    assert Results(tmp_path).rows == own
    assert Results(tmp_path).predictions("a")["logits"].tolist() == [[[0, 1], [1, 0]]]
    assert not first.has("a", "teacher", [1])
    first.read()
    assert first.has("a", "teacher", [1])


def test_only_parts_of_a_plan_that_are_there_can_be_measured(tmp_path, monkeypatch):
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN, sort_keys=False))
    measured = []
    monkeypatch.setattr(command, "measure", lambda plan, cell, recipe, *_: measured.append((cell.name, recipe.name)))
    monkeypatch.setattr(command, "write_page", lambda *_: None)
    arguments = ["experiments", "--plan", str(tmp_path / "plan.yaml"), "--encoder", "e", "--data", "d"]
    arguments += ["--docs", str(tmp_path), "--recipes", "longer", "logits", "--cells"]
    monkeypatch.setattr(sys, "argv", [*arguments, "sst2_40_70_8"])
    command.main()
    assert measured == [("sst2_40_70_8", "logits"), ("sst2_40_70_8", "longer")]
    monkeypatch.setattr(sys, "argv", [*arguments, "sst2"])
    with pytest.raises(ValueError, match="the plan has no cell 'sst2': name some of sst2_40_50_8, sst2_40_70_8"):
        command.main()


def test_a_difference_where_rows_have_several_labels(tmp_path):
    labels = torch.tensor([[1, 0, 1], [0, 1, 0]])
    wrong = torch.tensor([[[1, 0, 0], [0, 1, 1]]])  # two hits, a miss and a false alarm: F1 is 2 / 3
    cell = Cell("goemotions", None, 0.9, 8)
    Results(tmp_path).add(cell.name, [], labels, {"a": wrong, "b": labels[None]})
    found = _compared(cell, "b", "a", Results(tmp_path))
    assert found.differences(torch.arange(2)).tolist() == pytest.approx([1 / 3])


def test_a_plan_that_names_something_unknown(tmp_path):
    for change, message in (
        ({"cells": [{"task": "x", "sparsity": 0.5, "steps": 1}]}, "cell 1 has the task 'x': name one of sst2"),
        ({"recipes": {"a": {"base": "b"}}}, "recipe 'a' has the base 'b': name one of a"),
        ({"recipes": {"a": None, "c": {"base": ["a", "b"]}}}, "recipe 'c' has the base 'b': name one of a, c"),
    ):
        (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**PLAN, **change}))
        with pytest.raises(ValueError, match=message):
            read_plan(tmp_path / "plan.yaml")


def test_the_plan_can_be_read():
    plan = read_plan(command._PLAN)
    assert {base for recipe in plan.recipes for base in recipe.bases} <= {recipe.name for recipe in plan.recipes}
