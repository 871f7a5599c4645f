import shutil

import pytest

import cli
from pipeline.sweep.results import Trial, write_results
from tests.pipeline.sweep.studies import sweep_of


def test_it_writes_both_pages(pruned_run, tmp_path, quick, capsys):
    run = tmp_path / "run"
    shutil.copytree(pruned_run, run)
    cli.main(["report", str(run)])
    *files, verdict, compared, costs, rule, note = capsys.readouterr().out.splitlines()
    assert files == [str(run / "report.html"), str(run / "report.md")]
    assert verdict.startswith("Verdict: ")
    assert compared.startswith("Compared with the teacher")
    assert "at 0.05 dollars per core and hour" in costs
    assert rule.startswith("Rule: ")
    assert note.startswith("The run has no simple alternatives")
    cli.main(["report", str(run), "--output", str(tmp_path / "other/page.html")])
    assert (tmp_path / "other/page.md").is_file()


@pytest.mark.slow
def test_a_sweep_has_its_page_and_those_of_its_best_runs(pruned_run, tmp_path, quick, capsys):
    sweep, folder = sweep_of(tmp_path, objectives={"score": "maximize"}, constraints={}), tmp_path / "s"
    trials = [Trial(f"000{number}", {"student.sparsity": 0.5}, {"score": 0.9}, True, not number) for number in (0, 1)]
    for trial in trials:
        shutil.copytree(pruned_run, folder / "trials" / trial.name)
    write_results(folder, sweep, trials)
    cli.main(["report", str(folder)])
    assert capsys.readouterr().out.splitlines() == [str(folder / "report.html"), str(folder / "report.md")]
    assert (folder / "trials/0000/report.html").is_file()
    assert not (folder / "trials/0001/report.html").exists()
    assert (folder / "report.html").read_text().count('href="trials/0000/report.html"') == 3  # table, mark and name


@pytest.mark.parametrize("price", ["0", "-1"])
def test_a_price_is_above_0(price, pruned_run, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", str(pruned_run), "--price", price])
    assert stop.value.code == 2
    assert "give dollars per core and hour, above 0" in capsys.readouterr().err


def test_no_run_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", str(tmp_path)])
    assert stop.value.code == 2
    assert "is no run of `stark run`" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["report", "compare"])
def test_other_files_are_kept_and_nothing_is_measured_before(command, pruned_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.report.run_page.measured_of", lambda _: pytest.fail("measured"))
    theirs = tmp_path / "page.md"
    theirs.write_text("# Mine\n")
    other = tmp_path / "other"
    other.mkdir()
    for name in ("config.yaml", "manifest.json"):
        shutil.copy(pruned_run / name, other / name)
    runs = [str(pruned_run)] if command == "report" else [str(pruned_run), str(other)]
    messages = []
    for output in (tmp_path / "page.html", other / "manifest.json"):
        with pytest.raises(SystemExit) as stop:
            cli.main([command, *runs, "--output", str(output)])
        assert stop.value.code == 2
        messages.append(capsys.readouterr().err.splitlines()[-1])
    assert messages[0].startswith(f"stark: error: {theirs} exists and is not an earlier output of this command")
    assert messages[1].startswith(
        f"stark: error: --output is {other / 'manifest.json'}: give a name that ends in .html"
    )
    assert theirs.read_text() == "# Mine\n"
    assert (other / "manifest.json").read_bytes() == (pruned_run / "manifest.json").read_bytes()
    assert not (tmp_path / "page.html").exists()
