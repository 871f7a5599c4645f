import re

from pipeline.report.page import write_page
from pipeline.sweep.results import write_results
from pipeline.sweep.study import finished_trials
from pipeline.sweep.sweep_page import page_of_sweep, pages_to_make
from tests.pipeline.sweep.studies import study_of, sweep_of


def sweep_in(folder, **known):
    sweep = sweep_of(folder, **known)
    trials = finished_trials(study_of(sweep), sweep)
    write_results(folder, sweep, trials)
    for trial in trials:
        run = folder / "trials" / trial.name
        run.mkdir(parents=True)
        for name in ("config.yaml", "manifest.json"):
            (run / name).touch()
    return trials


def test_the_page_has_the_front_and_all_trials(tmp_path):
    trials = sweep_in(folder := tmp_path / "s")
    best = [trial.name for trial in trials if trial.is_best]
    page = page_of_sweep(folder, folder / "report.html")
    assert page.headline[0].startswith(
        f"{len(best)} of {len(trials)} trials are on the front: no other trial that keeps"
    )
    assert "Limits: latency at most 5.00; 1 of the 7 trials are above." in page.headline
    (table,) = page.tables
    assert [row[0] for row in table.rows] == [
        trial.name + (" *" if trial.is_best else "" if trial.is_allowed else " -") for trial in trials
    ]
    assert table.header == ["", "student.sparsity", "score", "encoder_parameters", "latency"]
    assert table.rows[0][2:] == ["0.9000", "50", "4.00"]
    assert pages_to_make(folder) == [folder / "trials" / name for name in best]


def test_links_lead_to_the_pages_that_exist(tmp_path):
    trials = sweep_in(folder := tmp_path / "s")
    best = next(trial.name for trial in trials if trial.is_best)
    (folder / "trials" / best / "report.html").touch()
    assert folder / "trials" / best not in pages_to_make(folder)
    for target, link in (
        (folder / "report.html", f"trials/{best}/report.html"),
        (tmp_path / "other/page.html", f"../s/trials/{best}/report.html"),
    ):
        html, markdown = write_page(page_of_sweep(folder, target), target)
        assert set(re.findall(r'href="([^"#]+report.html)"', html.read_text())) == {link}
        assert f"| [{best} \\*]({link})" in markdown.read_text() or f"[{best} *]({link})" in markdown.read_text()
        svg = (target.with_name(f"{target.stem}_pictures") / "0.svg").read_text()
        assert set(re.findall(r'<a xlink:href="([^"]+)"', svg)) == {f"../{link}"}


def test_one_objective_and_no_allowed_trial(tmp_path):
    sweep_in(tmp_path / "one", objectives={"score": "maximize"}, constraints={})
    page = page_of_sweep(tmp_path / "one", tmp_path / "one/report.html")
    assert page.headline[0] == "The best trial is 0005: score 0.9500."
    sweep_in(tmp_path / "none", constraints={"latency": 1})
    assert page_of_sweep(tmp_path / "none", tmp_path / "x.html").headline[0] == "No trial keeps the limits."
