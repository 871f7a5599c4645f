import json
from io import StringIO

import optuna
import pytest
from rich.console import Console

from pipeline.sweep.description import Sweep
from pipeline.sweep.results import MEASURED, finished_trials, table_of, write_results
from pipeline.sweep.space import Range

optuna.logging.set_verbosity(optuna.logging.WARNING)
# Score, parameters of the encoder and latency of each trial.
POINTS = [(0.9, 50, 4), (0.8, 40, 4), (0.8, 60, 4), (0.7, 10, 9), (0.6, 20, 4), (0.95, 90, 5), (0.6, 20, 3)]


def sweep_of(tmp_path, **known):
    values = {"objectives": {"score": "maximize", "encoder_parameters": "minimize"}, "constraints": {"latency": 5}}
    search = {"student.sparsity": Range(0.1, 0.9)}
    return Sweep(path=tmp_path, lines={}, run={}, search=search, trials=3, seed=1, **{**values, **known})


def study_of(sweep):
    study = optuna.create_study(
        directions=list(sweep.objectives.values()), sampler=optuna.samplers.RandomSampler(seed=1)
    )
    for point in POINTS:
        measured = dict(zip(("score", "encoder_parameters", "latency"), map(float, point), strict=True))
        trial = study.ask()
        sweep.search["student.sparsity"].suggest(trial, "student.sparsity")
        trial.set_user_attr(MEASURED, measured)
        for name, most in sweep.constraints.items():
            trial.set_constraint(name, measured[name] - most)
        study.tell(trial, [measured[name] for name in sweep.objectives])
    sweep.search["student.sparsity"].suggest(study.ask(), "student.sparsity")  # which is still running
    return study


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


def test_the_file_and_the_table_have_all_of_it(tmp_path):
    sweep = sweep_of(tmp_path)
    trials = finished_trials(study_of(sweep), sweep)
    write_results(tmp_path, sweep, trials)
    kept = json.loads((tmp_path / "sweep.json").read_text())
    assert [tuple(trial["measured"].values()) for trial in kept["trials"]] == POINTS
    assert all(0.1 <= trial["settings"]["student.sparsity"] <= 0.9 for trial in kept["trials"])
    shown = StringIO()
    Console(file=shown, width=120).print(table_of(sweep, trials))
    rows = [line.split() for line in shown.getvalue().splitlines() if line.startswith("00")]
    assert [row[0] for row in rows if row[1] == "-"] == ["0003"]
    assert [row[0] for row in rows if row[1] == "*"] == [trial.name for trial in trials if trial.is_best]
