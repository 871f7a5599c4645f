"""A study of seven finished trials and one that runs."""

import optuna

from pipeline.sweep.description import Sweep
from pipeline.sweep.space import Range
from pipeline.sweep.study import MEASURED

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
