"""The number of steps for a time: its formula, and that a run that has begun keeps its own."""

import shutil

import pytest
import yaml

from cli import main
from pipeline.execution.manifest import Manifest
from pipeline.method import time_budget
from pipeline.method.time_budget import Costs, steps_for, with_steps
from tests.pipeline.runs import options

COSTS = Costs(finetuning=0.5, distillation=0.1, teacher=0.05)


@pytest.mark.parametrize(
    ("seconds", "first", "fits", "batches"), [(3600, 1000, 2, 400), (600, 0, 1, 0), (7200, 10, 7, 40)]
)
def test_the_time_is_divided(seconds, first, fits, batches):
    steps, _ = steps_for(seconds, COSTS, first, fits, batches)
    spent = first * 0.5 + batches * 0.05 + fits * steps * 0.1
    assert 0.75 * seconds < spent <= 0.85 * seconds
    assert int(f"{steps:g}"[2:] or 0) == 0 or steps < 100  # two digits


def test_too_little_time_says_how_much_it_takes():
    with pytest.raises(ValueError, match=r"time is 60 s: this run takes at least about 10 min \(1,000 steps of fine"):
        steps_for(60, COSTS, 1000, 1, 0)
    steps_for(10.5 * 60, COSTS, 1000, 1, 0)


def test_a_run_in_a_time(pruned_run, tiny_task, tmp_path, monkeypatch, capsys):
    """The chosen steps are those of the run's settings, and the same command goes on with them."""
    copy = shutil.copytree(pruned_run, tmp_path / "tiny")
    command = options(tiny_task, tmp_path, "--time", "1min", "--teacher.sparsities", "[]")
    main([*command, "--dry-run"])  # measures real steps
    assert "60 s: 1 distillation of " in capsys.readouterr().err
    monkeypatch.setattr(time_budget, "measure_costs", lambda *_: Costs(1.0, 0.5, 0.0))
    main(command)
    assert "60 s: 1 distillation of 100 steps about 50 s (0.5 s a step)" in capsys.readouterr().err
    assert yaml.safe_load((copy / "config.yaml").read_text())["distillation"]["steps"] == 100
    assert Manifest.read(copy).stages["trial"].settings["distillation.steps"] == 100
    assert yaml.safe_load((copy / "trial/stage.yaml").read_text())["data"]["batches_per_epoch"] == 50
    monkeypatch.setattr(time_budget, "measure_costs", None)
    main([*command, "--dry-run"])
    ended = capsys.readouterr()
    assert "the run has begun with distillations of 100 steps; for another time give another --name" in ended.err
    assert "run " not in [line.strip("│ ").split("│")[1] for line in ended.out.splitlines() if line.startswith("│")]


@pytest.mark.parametrize("more", [("--distillation.steps", "5"), ("--search.mode", "halving")])
def test_the_steps_are_chosen_once(tiny_task, tmp_path, capsys, more):
    with pytest.raises(SystemExit):
        main(options(tiny_task, tmp_path, "--time", "1h", *more))
    assert "time chooses distillation.steps: leave out distillation.steps" in capsys.readouterr().err


def test_steps_in_a_config():
    assert yaml.safe_load(with_steps("{a: [1], distillation: {steps: null, loss: x}}", 7)) == {
        "a": [1],
        "distillation": {"steps": 7, "loss": "x"},
    }
