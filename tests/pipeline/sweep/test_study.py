import pytest

from pipeline.sweep.study import finished_trials
from tests.pipeline.sweep.studies import POINTS, study_of, sweep_of


@pytest.mark.parametrize("constraints", [{}, {"latency": 5}])
def test_the_front_is_what_nothing_allowed_beats(tmp_path, constraints):
    sweep = sweep_of(tmp_path, constraints=constraints)
    trials = finished_trials(study_of(sweep), sweep)
    allowed = [point for point in POINTS if not constraints or point[2] <= 5]

    def is_beaten(point):
        return any(other[0] >= point[0] and other[1] <= point[1] and other[:2] != point[:2] for other in allowed)

    assert [trial.is_best for trial in trials] == [point in allowed and not is_beaten(point) for point in POINTS]
    assert [trial.is_allowed for trial in trials] == [point in allowed for point in POINTS]
    assert [trial.name for trial in trials] == [f"{number:04}" for number in range(len(POINTS))]


def test_with_one_objective_the_best_one_is_marked(tmp_path):
    sweep = sweep_of(tmp_path, objectives={"encoder_parameters": "minimize"}, constraints={})
    assert [trial.name for trial in finished_trials(study_of(sweep), sweep) if trial.is_best] == ["0003"]


def test_nothing_is_best_if_nothing_is_allowed(tmp_path):
    sweep = sweep_of(tmp_path, constraints={"latency": 1})
    assert not any(trial.is_best or trial.is_allowed for trial in finished_trials(study_of(sweep), sweep))
