import shutil

import pytest

import cli
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


def test_runs_stand_side_by_side(pruned_run, second, unfinished, quick):
    page = page_of_runs([read_run(folder) for folder in (pruned_run, second, unfinished)])
    assert page.headline[1] == f"Not finished: {unfinished}."
    assert [picture.title.split(":")[0] for picture in page.pictures] == ["sst2", "sst2"]
    tables = {table.title: table for table in page.tables}
    rows = {row[0]: row for row in tables["Runs"].rows}
    best = 100 * read(pruned_run)["best"]["dev"]["score"] if "dev" in read(pruned_run)["best"] else None
    assert rows[str(pruned_run)][3] == rows[str(second)][3]
    assert best is None or rows[str(second)][3].startswith(f"{best:.1f} [")
    assert rows[str(second)][7] == "2.00 [1.00, 4.00] (1.0 x)"
    assert rows[str(unfinished)][2:8] == [""] * 6
    differing = {row[0]: row[1:] for row in tables["What differs in their settings"].rows}
    assert differing == {
        "student": ["70% of heads and neurons removed"] * 2,
        "distillation.temperature": ["None", "4.0"],
    }


def test_the_command(pruned_run, second, tmp_path, quick, capsys):
    target = tmp_path / "out/compare.html"
    cli.main(["compare", str(pruned_run), str(second), "--output", str(target)])
    assert capsys.readouterr().out.splitlines() == [str(target), str(target.with_suffix(".md"))]
    assert target.read_text().count("<figure>") == 2
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", str(second), str(second)])
    assert stop.value.code == 2
    assert "name at least two, each once" in capsys.readouterr().err
