import shutil

import pytest

import cli


def test_it_writes_both_pages(pruned_run, tmp_path, quick, capsys):
    run = tmp_path / "run"
    shutil.copytree(pruned_run, run)
    cli.main(["report", str(run)])
    assert capsys.readouterr().out.splitlines() == [str(run / "report.html"), str(run / "report.md")]
    cli.main(["report", str(run), "--output", str(tmp_path / "other/page.html")])
    assert (tmp_path / "other/page.md").is_file()


def test_no_run_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", str(tmp_path)])
    assert stop.value.code == 2
    assert "is no run of `stark run`" in capsys.readouterr().err
