import json
import shutil

import pytest
import torch

from pipeline.report import measuring
from pipeline.report.marks import run_marks
from pipeline.report.page import write_page
from pipeline.report.reading import read_run
from pipeline.report.run_page import page_of_run
from tests.pipeline.runs import leave, read


def test_a_finished_run_is_told_in_full(pruned_run, quick):
    page = page_of_run(read_run(pruned_run))
    summary = read(pruned_run)
    assert page.title == "tiny: sst2"
    assert page.headline[0].startswith("The student is 1.0 times as fast as its teacher (1 row of")
    points = 100 * summary["comparisons"][0]["points"]["value"]
    assert f"{points:+.2f} points on dev, one run: no interval for other seeds." in page.headline[4]
    assert page.headline[1].startswith("The score is accuracy, in hundredths, on the")
    assert page.headline[5:] == [f"Warning: {line}." for line in summary["alarms"]]
    assert [picture.title.split()[0] for picture in page.pictures] == [
        *("What", "Score", "Score", "The", "Heads", "Scores", "Scores", "Score", "Seconds")
    ]
    tables = {table.title: table for table in page.tables}
    chosen = "sparse" if summary["best"]["teacher_sparsity"] else "dense"
    other = "dense" if chosen == "sparse" else "sparse"
    assert [row[0] for row in tables["Models"].rows] == [
        *("dense teacher", f"student of {other} teacher", f"student of {chosen} teacher")
    ]
    scores = {model["folder"]: 100 * model["dev"]["score"] for model in summary["models"]}
    assert tables["Models"].rows[0][1].startswith(f"{scores['finetune/model']:.1f} [")
    assert tables["Latency on the CPU, milliseconds"].rows[0][1:] == ["2.00 [1.00, 4.00]"] * 4
    known = run_marks()
    for title in ("Models", "Latency on the CPU, milliseconds", "All students"):
        table = tables[title]
        assert [known[row[0].removesuffix(" *")] for row in table.rows] == list(table.marks)
    students = tables["All students"].rows
    assert len(students) == len(summary["models"])
    assert sum(row[0].endswith(" *") for row in students) == 1
    assert page.numbers[1].value == "1.0 x"
    assert page.command == f"stark run --config {pruned_run / 'config.yaml'} --root {pruned_run.parent}"
    assert "learning_rate" in page.settings


def test_the_verdict_comes_first_with_its_picture_and_its_table(simple_run, quick):
    page = page_of_run(read_run(simple_run), price=0.36)
    assert page.verdict[0].startswith("Verdict: ")
    # A million rows at 100 rows a second take 2.78 hours.
    assert any("at 0.36 dollars per core and hour" in line and "TF-IDF 1" in line for line in page.verdict)
    assert page.pictures[0].title.startswith("What could be used")
    table = page.tables[0]
    assert [row[0] for row in table.rows][2:] == ["constant answer", "TF-IDF", "mean embeddings", "frozen encoder"]
    assert table.rows[0][2:] == ["2.00", "3.00", "4.00", "100", "5.0 s", "6.00 MB"]
    assert list(table.marks) == [run_marks()[row[0]] for row in table.rows]
    assert table.note.endswith("Measured on this machine, noon.")
    html, markdown = write_page(page, simple_run.parent / "page.html")
    text = html.read_text()
    assert text.index("Verdict: ") < text.index("The student is") < text.index("What could be used")
    assert "Verdict: " in markdown.read_text()


def test_an_unfinished_run_is_told_as_far_as_it_came(unfinished, quick):
    page = page_of_run(read_run(unfinished))
    assert "is not finished" in page.headline[1]
    assert [picture.title.split()[0] for picture in page.pictures] == ["Heads", "Score", "Seconds"]
    assert [table.title for table in page.tables] == ["Environment of this report"]


def test_it_says_when_it_was_measured(pruned_run, quick, monkeypatch):
    monkeypatch.setattr(measuring, "now_text", lambda: "2026-01-02 10:00 UTC, load 0.1")
    tables = {table.title: table for table in page_of_run(read_run(pruned_run)).tables}
    note = tables["Latency on the CPU, milliseconds"].note
    assert note.endswith("; measured on this machine, 2026-01-02 10:00 UTC, load 0.1.")


def test_a_second_device_has_a_picture_and_a_table_of_its_own(pruned_run, quick, monkeypatch):
    monkeypatch.setattr(measuring, "_devices", lambda: ["cpu", "cpu:0"])
    page = page_of_run(read_run(pruned_run))
    assert sum(picture.title.startswith("Score against latency") for picture in page.pictures) == 2
    tables = {table.title: table for table in page.tables}
    first, second = (tables[f"Latency on the {name}, milliseconds"] for name in ("CPU", "CPU:0"))
    assert second.header == [*first.header, "256 x 128"]
    assert second.rows == [[*row, row[1]] for row in first.rows]
    assert [number.what for number in page.numbers[1:3]] == [
        "as fast as the teacher, 1 row of 128 tokens on the CPU",
        "as fast as the teacher, 256 rows of 128 tokens on the CPU:0",
    ]


@pytest.mark.parametrize("chosen", ["dense", "sparse"])
def test_the_chosen_student_is_last_and_in_the_numbers(pruned_run, tmp_path, quick, chosen):
    run = tmp_path / "tiny"
    shutil.copytree(pruned_run, run)
    summary = read(run)
    folder = summary["best_by_method"][0][f"{chosen}_teacher"]
    summary["best"] = next(model for model in summary["models"] if model["folder"] == folder)
    leave(run, "summary.json", json.dumps(summary))
    page = page_of_run(read_run(run))
    models = next(table for table in page.tables if table.title == "Models")
    assert models.rows[-1][0] == f"student of {chosen} teacher"
    assert len(models.rows) == 3
    assert page.numbers[0].value == f"{100 * summary['best']['dev']['score']:.1f}"


@pytest.mark.gpu
def test_a_gpu_is_measured_and_shown(pruned_run):
    page = page_of_run(read_run(pruned_run))
    assert [picture.title.split(";")[0] for picture in page.pictures[2:4]] == [
        "Score against latency on the CPU",
        "Score against latency on the GPU",
    ]
    tables = {table.title: table for table in page.tables}
    table = tables["Latency on the GPU, milliseconds"]
    assert table.header[1:] == ["1 x 32", "1 x 128", "8 x 128", "32 x 128", "256 x 128"]
    assert all(float(cell.split()[0]) > 0 for row in table.rows for cell in row[1:])
    assert page.numbers[2].what == "as fast as the teacher, 256 rows of 128 tokens on the GPU"
    assert dict(tables["Environment of this report"].rows)["GPU"] == torch.cuda.get_device_name()
