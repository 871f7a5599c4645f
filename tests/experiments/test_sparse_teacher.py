"""The experiments end to end on tiny data: run, interrupted, continued, and written to the page."""

import math
import statistics
import subprocess
import sys
import xml.dom.minidom

import pytest
import torch
import yaml

import cli
from experiments.sparse_teacher import __main__ as command
from experiments.sparse_teacher.collect import is_collected, keep_predictions
from experiments.sparse_teacher.figures import half_width
from experiments.sparse_teacher.plan import Cell, Search, in_order, read_plan
from experiments.sparse_teacher.reading import UNUSED, by_candidate, by_mode, trainings, values_of
from experiments.sparse_teacher.table import TEACHER, Row, Table
from experiments.sparse_teacher.unused import UnusedRows
from pipeline.execution.manifest import Manifest, Record
from pipeline.fits.isolation import stark_command
from pipeline.results.summary import Choice
from stark.model_folders.model_folder import save_classifier
from stark.storage import read_tensors, write_tensors
from tests.pipeline.runs import read, summary_of
from tests.tiny import tiny_classifier

LIMIT = 60
PARTS = ("main", "differences", "unused", "baselines", "probe", "grid", "modes", "figures")


def plan_of(task) -> dict:
    grid = {"teacher.lams": [0.5], "teacher.sparsities": [0.2, 0.4], "seeds": [1, 2], "baselines": []}
    main = {**grid, "search.mode": "predict", "baselines": ["no_teacher", "dense_teacher_best_of_k"]}
    probe = {**grid, "search.mode": "none", "teacher.sparsities": [0.2], "baselines": ["no_teacher"]}
    return {
        "settings": {
            "data.cache_dir": str(task.cache),
            "data.batch_size": 16,
            "finetuning.epochs": 1,
            "distillation.epochs": 2,
        },
        "tasks": {"sst2": {"data.train_limit": LIMIT}},
        "students": {"70 %": {"student.sparsity": 0.7}},
        "searches": {"main": main, "grid": {**grid, "search.mode": "exhaustive"}, "probe": probe},
        "cells": [{"task": "sst2", "student": "70 %", "searches": ["main", "grid", "probe"]}],
    }


@pytest.fixture(scope="module")
def finished(tiny_task, tmp_path_factory):
    """A finished plan, after a first attempt in which the second search failed."""
    folder = tmp_path_factory.mktemp("experiments")
    docs = folder / "docs"
    docs.mkdir()
    (docs / "sparse_teacher.md").write_text(
        "By hand.\n" + "\n".join(f"<!-- {part} -->\n<!-- /{part} -->" for part in PARTS)
    )
    (folder / "plan.yaml").write_text(yaml.safe_dump(plan_of(tiny_task)))
    arguments = ["--encoder", str(tiny_task.encoder), "--data", str(tiny_task.data_dir), "--workers", "1"]
    arguments += ["--root", str(folder / "runs"), "--plan", str(folder / "plan.yaml"), "--docs", str(docs)]
    ran = []

    def lost(asked, check):
        ran.append(asked)
        if len(ran) == 2:
            raise subprocess.CalledProcessError(1, asked)
        assert asked[:3] == stark_command([])
        cli.main(asked[3:])  # in this process, because another one would import everything again

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["experiments", *arguments])
        patch.setattr(command, "subprocess", type("subprocess", (), {"run": staticmethod(lost)}))
        with pytest.raises(subprocess.CalledProcessError):
            command.main()
        command.main()
        command.main()
    assert len(ran) == 4  # the first search was not run again, and the third call ran none
    return folder


@pytest.mark.slow
def test_rows_are_what_the_run_says(finished):
    cell = read_plan(finished / "plan.yaml")[0]
    main, grid, _ = cell.searches
    table = Table(finished / "docs/sparse_teacher.csv")
    assert is_collected(cell, main, table)
    assert is_collected(cell, grid, table)
    summary = read(finished / "runs/sst2_70")
    models = {model["folder"]: model for model in summary["models"]}
    for choice in summary["best_by_method"]:
        place = main.seeds.index(choice["seed"])
        assert values_of(table, cell, grid, "sparse_teacher")[place] == models[choice["sparse_teacher"]]["dev"]["score"]
        assert values_of(table, cell, main, "dense_teacher")[place] == models[choice["dense_teacher"]]["dev"]["score"]
    candidates = by_candidate(table, cell, grid)
    assert {key: len(values) for key, values in candidates.items()} == {(0.5, 0.2): 2, (0.5, 0.4): 2}
    seconds = {row.method: row.seconds for row in table if row.seed == 1 and row.metric == "score"}
    assert seconds["dense_teacher_best_of_k"] > seconds["dense_teacher"] > 0
    best = values_of(table, cell, main, "dense_teacher_best_of_k", "selection_score")
    dense = values_of(table, cell, main, "dense_teacher", "selection_score")
    assert all(first >= second for first, second in zip(best, dense, strict=True))


@pytest.mark.slow
def test_unused_rows_are_those_in_no_part(finished, tiny_task):
    lines = (tiny_task.data_dir / "SST-2/train.tsv").read_text().splitlines()[1:]
    kept = (finished / "runs/unused/SST-2/dev.tsv").read_text().splitlines()[1:]
    assert len(kept) == len(lines) - LIMIT
    assert set(kept) <= set(lines)
    table = Table(finished / "docs/sparse_teacher.csv")
    values = [row.value for row in table if row.metric == UNUSED and row.method != TEACHER]
    # For each of two seeds: no teacher, the dense teacher, the best of two, and two of the grid.
    assert len(values) == 2 * (3 + 2)
    assert all(value * len(kept) == pytest.approx(round(value * len(kept))) for value in values)


@pytest.mark.slow
def test_what_is_known_of_the_unused_rows_is_not_asked_again(finished, tiny_task, monkeypatch):
    data = tiny_task.data(train_limit=LIMIT, seed=776)
    rows, model = UnusedRows(data, finished / "runs/unused"), finished / "runs/sst2_70/finetune/model"
    first = rows.accuracy(model)
    monkeypatch.setattr("experiments.sparse_teacher.unused.load_classifier", None)
    assert UnusedRows(data, finished / "runs/unused").accuracy(model) == first
    with pytest.raises(TypeError):  # another model must be evaluated
        rows.accuracy(tiny_task.teacher)


@pytest.mark.slow
def test_predictions_and_units_are_kept(finished):
    predictions, _ = read_tensors(finished / "docs/sparse_teacher/sst2_70_main.safetensors")
    table, cell = Table(finished / "docs/sparse_teacher.csv"), read_plan(finished / "plan.yaml")[0]
    for method in ("no_teacher", "dense_teacher", "dense_teacher_best_of_k", "sparse_teacher"):
        said = torch.stack([predictions[f"{method}/{seed}"] for seed in (1, 2)])
        found = (said == predictions["labels"]).double().mean(-1).tolist()
        assert found == pytest.approx(values_of(table, cell, cell.searches[0], method))
    units, _ = read_tensors(finished / "docs/sparse_teacher/sst2_70_units.safetensors")
    assert units["kept_neurons/student"].shape == units["neurons/friendliness"].shape
    assert units["kept_heads/teacher 0.5, 0.2"].sum() >= units["kept_heads/student"].sum()


def test_two_methods_may_have_chosen_the_same_scores(tmp_path):
    logits = torch.tensor([[0.5], [1.5]])
    write_tensors(tmp_path / "dev_logits.safetensors", {"trial/model": logits, "labels": torch.tensor([0.0, 2.0])})
    best = Choice(1, {"dense_teacher": "trial/model", "dense_teacher_best_of_k": "trial/model"})
    summary_of(choices=(best,)).write(tmp_path)
    manifest = Manifest(tmp_path, {"evaluate": Record({}, {})})
    manifest.finish("evaluate", ("summary.json", "dev_logits.safetensors"), 0)
    save_classifier(tiny_classifier(num_labels=1), tmp_path / "finetune/model")
    keep_predictions(tmp_path, tmp_path / "kept.safetensors")
    kept, _ = read_tensors(tmp_path / "kept.safetensors")
    assert kept["dense_teacher/1"].tolist() == kept["dense_teacher_best_of_k/1"].tolist() == [0.5, 1.5]


@pytest.mark.slow
def test_the_page_has_all_parts_and_pictures(finished):
    docs = finished / "docs"
    page = (docs / "sparse_teacher.md").read_text()
    assert page.startswith("By hand.\n")
    assert page.count("Not run yet.") == 1  # this plan has no search "baselines"
    table, cell = Table(docs / "sparse_teacher.csv"), read_plan(finished / "plan.yaml")[0]
    values = [100 * value for value in values_of(table, cell, cell.searches[0], "sparse_teacher")]
    assert f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}" in page
    assert "| dense_or_sparse_teacher minus dense_teacher_best_of_k | sst2, 70 % |" in page
    treated, control = (
        values_of(table, cell, cell.searches[0], method, UNUSED) for method in ("sparse_teacher", "dense_teacher")
    )
    gaps = [100 * (first - second) for first, second in zip(treated, control, strict=True)]
    # Student's t of one degree of freedom at 97.5 % is 12.706.
    low = statistics.mean(gaps) - 12.7062 * statistics.stdev(gaps) / math.sqrt(2)
    assert f"| sparse_teacher minus dense_teacher | sst2, 70 % | {statistics.mean(gaps):+.2f} [{low:+.2f}, " in page
    probe = page.split("<!-- probe -->")[1].split("<!-- /probe -->")[0]
    for method in ("dense_teacher", "sparse_teacher", "no_teacher"):
        values = [100 * value for value in values_of(table, cell, cell.searches[2], method)]
        said = f"| {statistics.mean(values):.2f} ± {statistics.stdev(values):.2f} |"
        assert sum(f"| {method}" in line and said in line for line in probe.splitlines()) == 1
    pictures = [line.split("](")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")]
    assert {name.rsplit("_", 1)[1] for name in pictures} == {"sparsity.svg", "modes.svg", "scores.svg", "kept.svg"}
    for name in pictures:
        assert xml.dom.minidom.parse(str(docs / name)).documentElement.tagName == "svg"


def test_a_table_is_read_as_it_was_written(tmp_path):
    rows = [
        Row("rte", "90 %", "sparse_teacher", 0.0, 0.1, 1, "score", 0.123456789, 3.5),
        Row("rte", "90 %", TEACHER, None, None, None, "score", 1 / 3, None),
    ]
    table = Table(tmp_path / "sparse_teacher.csv")
    table.add(rows)
    table.add([rows[0]])
    assert list(Table(tmp_path / "sparse_teacher.csv")) == rows
    (tmp_path / "sparse_teacher.csv").write_text(
        (tmp_path / "sparse_teacher.csv").read_text().replace("0.123456789", "good")
    )
    with pytest.raises(ValueError, match=r"sparse_teacher.csv, line 2: no row of results"):
        Table(tmp_path / "sparse_teacher.csv")


def test_trainings_are_what_a_search_takes():
    def search(mode, sparsities):
        settings = {"search.mode": mode, "teacher.lams": [0.5], "teacher.sparsities": sparsities}
        return Search("", {**settings, "distillation.epochs": 4})

    four = [0.1, 0.2, 0.3, 0.4]
    assert [trainings(search(mode, four)) for mode in ("none", "predict", "exhaustive")] == [2, 2, 5]
    # The trial; then one epoch of four students, one more of two, two more of one.
    assert trainings(search("halving", four)) == 1 + (4 * 1 + 2 * 1 + 1 * 2) / 4


@pytest.mark.slow
def test_modes_are_compared_where_there_are_several(finished):
    table, cell = Table(finished / "docs/sparse_teacher.csv"), read_plan(finished / "plan.yaml")[0]
    main, grid, probe = cell.searches
    assert [search.mode for search, _ in by_mode(table, cell)] == ["predict", "exhaustive", "none"]
    again = Search(probe.name, {**probe.settings, "seeds": [2]})
    assert by_mode(table, Cell(cell.task, cell.student, (probe, again))) == []
    assert by_mode(table, Cell(cell.task, cell.student, (main, grid)))[1] == (
        grid,
        values_of(table, cell, grid, "sparse_teacher"),
    )


def test_a_half_width_is_that_of_students_t():
    assert half_width([0.0, 1.0, 2.0, 3.0]) == pytest.approx(2.05426, abs=1e-5)  # 3.18245 * 1.29099 / 2


def test_names_that_the_plan_lacks_are_refused(tmp_path, tiny_task):
    plan = plan_of(tiny_task)
    for key, value in (("task", "rte"), ("student", "1 %"), ("searches", ["none"])):
        wrong = {**plan, "cells": [{**plan["cells"][0], key: value}]}
        (tmp_path / "plan.yaml").write_text(yaml.safe_dump(wrong))
        with pytest.raises(ValueError, match=r"plan.yaml: cell 1 has the .*: name one of"):
            read_plan(tmp_path / "plan.yaml")


def test_a_page_without_a_place_is_refused(tmp_path):
    from experiments.sparse_teacher.page import write_page

    (tmp_path / "sparse_teacher.md").write_text("nothing")
    with pytest.raises(ValueError, match=r"has no place for main: add the lines <!-- main --> and <!-- /main -->"):
        write_page(Table(tmp_path / "sparse_teacher.csv"), [Cell("rte", "70 %", ())], tmp_path)


def test_the_plan_is_whole():
    cells = read_plan(command._PLAN)
    main = [(cell.task, cell.student) for cell in cells if "main" in {search.name for search in cell.searches}]
    assert len(set(main)) == len(main) == 8
    assert len({cell.name for cell in cells}) == len(cells)
    order = in_order(cells)
    assert sorted((cell.name, search.name) for cell, search in order) == sorted(
        (cell.name, search.name) for cell in cells for search in cell.searches
    )
    assert {search.name for _, search in order[: len(cells)]} == {"main", "few_labels", "grid", "probe"}


@pytest.mark.slow
def test_an_error_is_one_line(tmp_path, warm):
    command = [
        str(warm / "python"),
        "-m",
        "experiments.sparse_teacher",
        "--docs",
        str(tmp_path),
        "--plan",
        "nowhere.yaml",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "experiments: error: [Errno 2] No such file or directory: 'nowhere.yaml'\n"
