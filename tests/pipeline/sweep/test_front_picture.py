import re

import pytest

from pipeline.sweep.front_picture import front_picture, kind_of, trial_marks
from pipeline.sweep.results import Results
from pipeline.sweep.study import finished_trials
from tests.pipeline.sweep.studies import POINTS, study_of, sweep_of


def results_of(tmp_path, **known):
    sweep = sweep_of(tmp_path, **known)
    return Results(sweep.objectives, sweep.constraints, finished_trials(study_of(sweep), sweep))


def test_every_trial_is_a_mark_and_those_of_the_front_lead_to_their_pages(tmp_path):
    results = results_of(tmp_path)
    best = [trial.name for trial in results.trials if trial.is_best]
    links = {name: f"trials/{name}/report.html" for name in best}
    svg = front_picture(results, links).svg
    marks = trial_marks(results)
    assert len({marks[trial.name] for trial in results.trials if trial.is_best}) == 1
    assert {kind_of(results, trial) for trial in results.trials} == {"front", "another trial", "above a limit"}
    for kind in ("front", "another trial", "above a limit"):
        assert f">{kind}</text>" in svg
    # Two panels, of the encoder's size and of the limited latency; in each a mark and a name lead to the page.
    for name in best:
        assert svg.count(f'<a xlink:href="trials/{name}/report.html"') == 4
        assert re.search(rf"{name}: score [\d.]+, encoder_parameters \d+, latency \d", svg)
    assert "<a " not in front_picture(results, {}).svg
    assert "parameters of the encoder" in svg
    assert "milliseconds for one row" in svg


@pytest.mark.parametrize(
    ("objectives", "title"),
    [
        ({"encoder_parameters": "minimize"}, "The trials"),
        ({"score": "minimize", "latency": "maximize"}, "The trials and their front"),
        ({"score": "maximize", "latency": "minimize", "encoder_parameters": "minimize"}, "The trials and their front"),
    ],
)
def test_any_objectives_can_be_drawn(tmp_path, objectives, title):
    picture = front_picture(results_of(tmp_path, objectives=objectives, constraints={}), {})
    assert picture.title == title
    assert ("trial, in their order" in picture.svg) == (len(objectives) == 1)


def test_nothing_allowed_is_no_front(tmp_path):
    results = results_of(tmp_path, constraints={"latency": 1})
    svg = front_picture(results, {}).svg
    assert svg.count(">above a limit</text>") == 1
    assert ">front</text>" not in svg
    assert len(results.trials) == len(POINTS)
