import json
import shutil

import pytest

import cli
from pipeline.execution.manifest import Manifest
from pipeline.report.reading import read_run
from pipeline.report.runs_page import page_of_runs
from tests.pipeline.runs import leave, read


@pytest.fixture
def second(pruned_run, tmp_path):
    """A copy of the run under another name."""
    run = tmp_path / "second"
    shutil.copytree(pruned_run, run)
    text = (run / "config.yaml").read_text()
    leave(run, "config.yaml", text.replace("temperature: null", "temperature: 4.0"))
    return run


@pytest.fixture
def other_student(second):
    """The run with the other student chosen, which is a copy of the first run otherwise."""
    summary = read(second)
    (choice,) = summary["best_by_method"]
    method = "dense_teacher" if summary["best"]["teacher_sparsity"] else "sparse_teacher"
    summary["best"] = next(model for model in summary["models"] if model["folder"] == choice[method])
    leave(second, "summary.json", json.dumps(summary))
    return second


def models_of(page):
    (table,) = (table for table in page.tables if table.title == "Models")
    return {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}, dict(
        zip([row[0] for row in table.rows], table.marks, strict=True)
    )


def test_runs_stand_side_by_side(pruned_run, second, unfinished, quick):
    page = page_of_runs([read_run(folder) for folder in (pruned_run, second, unfinished)])
    assert f"Not finished: {unfinished}." in page.headline
    dated = {row[0]: row[1] for row in page.tables[-1].rows if "was measured" in row[0]}
    assert list(dated) == [f"{folder} was measured" for folder in (pruned_run, second)]
    assert [picture.title.split(":")[0] for picture in page.pictures] == ["sst2", "sst2"]
    models, marks = models_of(page)
    assert list(models) == [f"{run}, {model}" for run in (pruned_run, second) for model in ("teacher", "student")]
    best = 100 * read(pruned_run)["best"]["dev"]["score"]
    for run in (pruned_run, second):
        assert models[f"{run}, student"]["score on dev"].startswith(f"{best:.1f} [")
        assert models[f"{run}, student"]["latency"] == "2.00 [1.00, 4.00] (1.0 x)"
    # The same teacher has one mark, and each student its own.
    assert len(set(marks.values())) == 3
    assert marks[f"{pruned_run}, teacher"] == marks[f"{second}, teacher"]
    tables = {table.title: table for table in page.tables}
    assert [row[0] for row in tables["Runs"].rows] == [str(pruned_run), str(second), str(unfinished)]
    assert tables["Runs"].rows[2][1] == ""
    differing = {row[0]: row[1:] for row in tables["What differs in their settings"].rows}
    assert differing == {
        "student": ["70% of heads and neurons removed"] * 2,
        "distillation.temperature": ["None", "4.0"],
    }


def test_the_page_begins_with_the_difference(pruned_run, other_student, quick):
    page = page_of_runs([read_run(folder) for folder in (pruned_run, other_student)])
    first, second = (100 * read(run)["best"]["dev"]["score"] for run in (pruned_run, other_student))
    higher = "higher" if second > first else "lower"
    assert page.headline[0].startswith(
        f"The student of {other_student} has a score on dev that is {abs(second - first):.1f} points {higher} than "
        f"that of {pruned_run}: {second:.1f} instead of {first:.1f}. The 95 % interval of this difference for other "
        "rows is "
    )
    assert "It is 1.0 instead of 1.0 times as fast as its teacher, and its file has" in page.headline[0]
    assert page.headline[1].startswith("sst2: The score is accuracy, in hundredths, on the")
    models, _ = models_of(page)
    row = models[f"{other_student}, student"]
    assert row["minus the first run's"].startswith(f"{second - first:+.2f} [")
    assert row["interval for"] == "other rows"
    assert models[f"{other_student}, teacher"]["minus the first run's"] == "the same teacher"
    assert models[f"{pruned_run}, student"]["minus the first run's"] == "the first run"


def test_runs_with_other_rows_have_words_in_place_of_a_number(pruned_run, second, quick):
    manifest = Manifest.read(second)
    manifest.stages["evaluate"].settings["content of dev"] = "other"
    manifest.write()
    page = page_of_runs([read_run(folder) for folder in (pruned_run, second)])
    assert f"This is not comparable with {pruned_run} (" in page.headline[0]
    assert "): other rows of dev. It is 1.0 instead of 1.0 times" in page.headline[0]
    models, _ = models_of(page)
    for model in ("teacher", "student"):
        assert models[f"{second}, {model}"]["minus the first run's"] == "other rows of dev"
        assert models[f"{second}, {model}"]["interval for"] == ""


def test_runs_that_are_not_finished_are_named(unfinished, pruned_run, quick):
    alone = page_of_runs([read_run(folder) for folder in (unfinished, pruned_run)])
    assert alone.headline[0] == f"Only {pruned_run} is finished."
    none = page_of_runs([read_run(unfinished)] * 2)
    assert none.headline == [f"Not finished: {unfinished}, {unfinished}."]


def test_runs_that_were_measured_at_different_times_are_told(pruned_run, second, quick, monkeypatch):
    times = iter(["2026-01-02 10:00 UTC, load 0.1", "2026-03-04 10:00 UTC, load 3.0"] + 2 * ["now"])
    monkeypatch.setattr("pipeline.report.measuring.now_text", lambda: next(times))
    records = [read_run(folder) for folder in (pruned_run, second)]
    page = page_of_runs(records)
    assert "The runs were measured at different times on this machine" in page.headline[-1]
    dated = dict(page.tables[-1].rows)
    assert dated[f"{pruned_run} was measured"] == "2026-01-02 10:00 UTC, load 0.1"
    assert dated[f"{second} was measured"] == "2026-03-04 10:00 UTC, load 3.0"
    assert not any("different times" in line for line in page_of_runs(records).headline)


def test_the_command(pruned_run, second, tmp_path, quick, capsys):
    target = tmp_path / "out/compare.html"
    cli.main(["compare", str(pruned_run), str(second), "--output", str(target)])
    assert capsys.readouterr().out.splitlines() == [str(target), str(target.with_suffix(".md"))]
    assert target.read_text().count("<figure>") == 2
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", str(second), str(second)])
    assert stop.value.code == 2
    assert "name at least two, each once" in capsys.readouterr().err
