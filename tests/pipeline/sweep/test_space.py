import optuna
import pytest

from pipeline.sweep.space import read_values
from stark.errors import StarkError

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (3, "give a list of values, or a range"),
        ({"low": 1}, "give a list of values, or a range"),
        (["a"], "at least two values"),
        (["a", "b", "a"], "each once"),
        ({"low": 1, "high": 2, "hihg": 3}, "unknown key 'hihg'"),
        ({"low": 2, "high": 2}, "low must be the smaller one"),
        ({"low": 0.1, "high": float("nan")}, "low must be the smaller one"),
        ({"low": False, "high": True}, "are numbers"),
        ({"low": "a", "high": 2}, "are numbers"),
        ({"low": 0.0, "high": 1.0, "log": True}, "a low above 0"),
        ({"low": 1, "high": 8, "log": True, "step": 2}, "has no step"),
        ({"low": 1, "high": 8, "log": 1}, "true or false"),
        ({"low": 1, "high": 8, "step": 0.5}, "for integers an integer"),
        ({"low": 0.1, "high": 0.8, "step": -0.1}, "above 0"),
    ],
)
def test_what_is_no_range(given, complaint):
    with pytest.raises(StarkError, match=complaint):
        read_values(given)


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"low": 2, "high": 4}, {2, 3, 4}),
        ({"low": 2, "high": 6, "step": 2}, {2, 4, 6}),
        ({"low": 1, "high": 3, "log": True}, {1, 2, 3}),
        ({"low": 0.25, "high": 1.0, "step": 0.25}, {0.25, 0.5, 0.75, 1.0}),
        ([1, 2.5], {1, 2.5}),
    ],
)
def test_all_values_and_no_others_are_suggested(given, allowed):
    study, values = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)), read_values(given)
    found = [values.suggest(study.ask(), "x") for _ in range(60)]
    assert set(found) == allowed
    assert {type(value) for value in found} == {type(value) for value in allowed}


def test_a_logarithm_is_spread_evenly():
    study, values = (
        optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)),
        read_values({"low": 1e-5, "high": 1e-1, "log": True}),
    )
    found = [values.suggest(study.ask(), "x") for _ in range(400)]
    assert 0.4 < sum(value < 1e-3 for value in found) / 400 < 0.6


def test_any_value_can_be_a_choice_and_is_found_again():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    choices = [None, "null", True, 1, {"class_path": "stark.Units", "init_args": {"floor": 0.1}}, [0.1, 0.2]]
    values = read_values(choices)
    for _ in range(20):
        trial = study.ask()
        value = values.suggest(trial, "x")
        study.tell(trial, 0.0)
        again = values.suggest(study.trials[-1], "x")
        assert (value, type(value)) == (again, type(again))
        assert value in choices
