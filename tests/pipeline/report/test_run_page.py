from pathlib import Path

from pipeline.report import measuring
from pipeline.report.reading import read_run
from pipeline.report.run_page import page_of_run
from tests.pipeline.runs import read


def test_a_finished_run_is_told_in_full(pruned_run, quick):
    page = page_of_run(read_run(pruned_run))
    summary = read(pruned_run)
    assert page.title == "tiny: sst2"
    assert f"{100 * summary['comparisons'][0]['points']['value']:+.2f} points" in page.headline[-1]
    assert [picture.title.split()[0] for picture in page.pictures] == [
        *("Score", "Score", "The", "Heads", "Scores", "Training", "Seconds")
    ]
    tables = {table.title: table for table in page.tables}
    assert [row[0] for row in tables["Models"].rows] == [
        *("dense teacher", "student of dense teacher", "student of sparse teacher")
    ]
    scores = {model["folder"]: 100 * model["dev"]["score"] for model in summary["models"]}
    assert tables["Models"].rows[0][1].startswith(f"{scores['finetune/model']:.1f} [")
    assert tables["Latency on the CPU, milliseconds"].rows[0][1:] == ["2.00 [1.00, 4.00]"] * 3
    students = tables["All students"].rows
    assert len(students) == len(summary["models"])
    assert sum(row[0].endswith(" *") for row in students) == 1
    assert page.numbers[1].value == "1.0 x"
    assert f"--config {pruned_run / 'config.yaml'}" in page.command
    assert f"--root {Path('x').resolve().parent}" not in page.command
    assert "learning_rate" in page.settings


def test_an_unfinished_run_is_told_as_far_as_it_came(unfinished, quick):
    page = page_of_run(read_run(unfinished))
    assert "is not finished" in page.headline[1]
    assert [picture.title.split()[0] for picture in page.pictures] == ["Heads", "Training", "Seconds"]
    assert [table.title for table in page.tables] == ["Environment of this report"]


def test_a_second_device_has_a_picture_and_a_table_of_its_own(pruned_run, quick, monkeypatch):
    monkeypatch.setattr(measuring, "_devices", lambda: ["cpu", "cpu:0"])
    page = page_of_run(read_run(pruned_run))
    assert sum(picture.title.startswith("Score against latency") for picture in page.pictures) == 2
    tables = {table.title: table for table in page.tables}
    assert tables["Latency on the CPU:0, milliseconds"].rows == tables["Latency on the CPU, milliseconds"].rows
