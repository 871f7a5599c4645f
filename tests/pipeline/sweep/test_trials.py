"""Sweeps whose runs are replaced by a function of their settings."""

import json
import signal
import subprocess
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from callbacks import Interrupted
from pipeline.execution.manifest import Manifest
from pipeline.sweep import trials
from pipeline.sweep.description import Sweep
from pipeline.sweep.space import Choices, Range
from pipeline.sweep.trials import run_sweep
from stark.errors import StarkError
from tests.pipeline.runs import summary_of

SEARCH = {"student.sparsity": Range(0.0, 1.0), "student.score": Choices(("stark.Fisher", "stark.Taylor"))}


def sweep_of(count=5, **known):
    values = {"objectives": {"score": "maximize"}, "constraints": {}, "seed": 1, "search": SEARCH}
    return Sweep(path=Path("sweep.yaml"), lines={}, run={"seed": 5}, trials=count, **{**values, **known})


class Runs:
    """What was run, and how it ends: each number of a call in `ends` has an exception."""

    def __init__(self):
        self.ends, self.calls, self.settings = {}, [], {}

    def fit(self, command, log, **_):
        options = dict(word.removeprefix("--").split("=", 1) for word in command[command.index("run") + 1 :])
        folder = Path(options.pop("root"), options.pop("name"))
        self.calls.append(folder.name)
        assert self.settings.setdefault(folder, options) == options  # also when it goes on
        assert options["seed"] == "5"
        if (error := self.ends.get(len(self.calls))) is not None:
            raise error

    def measure(self, folder, names):
        return {name: float(self.settings[folder]["student.sparsity"]) for name in names}


@pytest.fixture
def runs(monkeypatch):
    found = Runs()
    monkeypatch.setattr(trials, "run_elsewhere", found.fit)
    monkeypatch.setattr(trials, "measure_student", found.measure)
    monkeypatch.setattr(trials.Summary, "read", lambda _: summary_of(alarms=["the teacher is odd"]))
    return found


def results(folder):
    return json.loads((folder / "sweep.json").read_text())["trials"]


def settings(folder):
    return [(trial["name"], trial["settings"]) for trial in results(folder)]


def test_it_runs_as_many_trials_as_asked_for_and_no_more(runs, tmp_path, capsys):
    run_sweep(sweep_of(3), tmp_path / "s", "")
    assert runs.calls == ["0000", "0001", "0002"]
    run_sweep(sweep_of(3), tmp_path / "s", "")
    run_sweep(sweep_of(2), tmp_path / "s", "")
    assert len(runs.calls) == 3
    run_sweep(sweep_of(4), tmp_path / "s", "")
    assert runs.calls[3:] == ["0003"]
    best = max(results(tmp_path / "s"), key=lambda trial: trial["settings"]["student.sparsity"])
    assert [trial["name"] for trial in results(tmp_path / "s") if trial["is_best"]] == [best["name"]]
    assert capsys.readouterr().out.count("warning: the teacher is odd") == 2  # once for each call that ran something


def test_no_two_trials_are_the_same_and_another_seed_gives_others(runs, tmp_path):
    for seed in (1, 2):
        run_sweep(sweep_of(12, seed=seed), tmp_path / str(seed), "")
    first, second = ([values["student.sparsity"] for _, values in settings(tmp_path / str(seed))] for seed in (1, 2))
    assert len({*first, *second}) == 24


@pytest.mark.parametrize("stop", range(1, 14, 4))
def test_an_interrupted_sweep_ends_like_one_that_was_not(runs, tmp_path, stop):
    """More than ten trials, because Optuna's first ten are random."""
    run_sweep(sweep_of(13), tmp_path / "whole", "")
    runs.calls.clear()
    runs.ends = {stop: Interrupted(signal.SIGTERM)}
    with pytest.raises(Interrupted):
        run_sweep(sweep_of(13), tmp_path / "parts", "")
    run_sweep(sweep_of(13), tmp_path / "parts", "")
    assert settings(tmp_path / "parts") == settings(tmp_path / "whole")
    # The interrupted trial ran twice, in the same folder with the same settings; see `Runs.fit`.
    assert sorted(runs.calls) == sorted([*(f"{number:04}" for number in range(13)), f"{stop - 1:04}"])


def test_a_trial_that_was_measured_is_not_run_again(runs, tmp_path, monkeypatch):
    with monkeypatch.context() as killed:
        killed.setattr(trials.optuna.Study, "tell", lambda *_: (_ for _ in ()).throw(Interrupted(signal.SIGTERM)))
        with pytest.raises(Interrupted):
            run_sweep(sweep_of(1, constraints={"megabytes": 2}), tmp_path / "s", "")
    run_sweep(sweep_of(1, constraints={"megabytes": 2}), tmp_path / "s", "")
    assert runs.calls == ["0000"]
    assert [trial["is_best"] for trial in results(tmp_path / "s")] == [True]


def test_a_mistake_stops_the_sweep(runs, tmp_path):
    runs.ends = {2: subprocess.CalledProcessError(2, [])}
    with pytest.raises(subprocess.CalledProcessError):
        run_sweep(sweep_of(5), tmp_path / "s", "")
    assert runs.calls == ["0000", "0001"]


def test_after_a_mistake_no_other_trial_begins(runs, tmp_path, monkeypatch):
    """Both trials have begun when the first one fails; the second one ends after that."""
    begun, mistake = threading.Barrier(2), subprocess.CalledProcessError(2, [])

    def fit(command, log, **_):
        runs.fit(command, log)
        begun.wait(5)
        if log.name == "0000.log":
            raise mistake
        time.sleep(0.3)

    monkeypatch.setattr(trials, "run_elsewhere", fit)
    monkeypatch.setattr(trials.Teachers, "awaited", lambda *_: None)
    with pytest.raises(subprocess.CalledProcessError):
        run_sweep(sweep_of(6), tmp_path / "s", "", workers=2)
    assert sorted(runs.calls) == ["0000", "0001"]
    assert [trial["name"] for trial in results(tmp_path / "s")] == ["0001"]


def test_a_killed_run_goes_on(runs, tmp_path):
    runs.ends = {2: subprocess.CalledProcessError(128 + signal.SIGKILL, [])}
    run_sweep(sweep_of(3), tmp_path / "s", "")
    assert runs.calls == ["0000", "0001", "0001", "0002"]


def test_trials_run_at_the_same_time(runs, tmp_path):
    run_sweep(sweep_of(6), tmp_path / "s", "", workers=2)
    assert sorted(runs.calls) == [f"{number:04}" for number in range(6)]
    assert len({values["student.sparsity"] for _, values in settings(tmp_path / "s")}) == 6


@pytest.mark.parametrize("fails", [False, True])
def test_trials_wait_for_a_teacher_that_another_one_trains(runs, tmp_path, monkeypatch, capsys, fails):
    """Each trial records what it began with; the first one takes its time. If it fails, no trial goes on."""
    monkeypatch.setattr(trials, "_POLL", 0.01)
    found = {}

    def fit(command, log, **_):
        runs.fit(command, log)
        folder = log.absolute().with_suffix("")
        manifest = Manifest.read(folder)
        found[folder.name] = manifest.stages.keys() & {"finetune"}
        if not found[folder.name]:
            time.sleep(0.3)
            if fails:
                raise subprocess.CalledProcessError(2, [])
            manifest.start("finetune", {}, {})
            (folder / "finetune").mkdir(parents=True)
            manifest.finish("finetune", ("finetune",), 1.0)
            time.sleep(0.3)

    monkeypatch.setattr(trials, "run_elsewhere", fit)
    expected = {"0000": set()} if fails else {"0000": set(), **{f"000{number}": {"finetune"} for number in (1, 2, 3)}}
    with pytest.raises(subprocess.CalledProcessError) if fails else nullcontext():
        run_sweep(sweep_of(4), tmp_path / "s", "", workers=3)
    assert found == expected
    assert capsys.readouterr().out.count("waits for the teacher of 0000") == 2


def test_a_trial_that_is_killed_too_often_stops_the_sweep(runs, tmp_path):
    lost = subprocess.CalledProcessError(128 + signal.SIGKILL, [])
    runs.ends = dict.fromkeys((1, 2, 3), lost)
    with pytest.raises(subprocess.CalledProcessError):
        run_sweep(sweep_of(4), tmp_path / "s", "", workers=2)
    assert runs.calls == ["0000"] * 3


def test_finished_trials_guide_the_next_ones(runs, tmp_path):
    """The score is the sparsity; the mean of 15 uniform numbers is above 0.7 once in 300 times."""
    means = []
    for constraints in ({}, {"megabytes": 0.5}):
        run_sweep(sweep_of(25, constraints=constraints), folder := tmp_path / str(len(constraints)), "")
        found = [trial["measured"]["score"] for trial in results(folder)]
        means.append(sum(found[10:]) / 15)
        (best,) = (trial["measured"]["score"] for trial in results(folder) if trial["is_best"])
        assert best == max(score for score in found if score <= constraints.get("megabytes", 1))
    free, limited = means
    assert free > 0.7
    assert limited < free - 0.1


@pytest.mark.parametrize(
    ("fixed", "changed", "complaint"),
    [
        ("seed: 2", {}, "the fixed settings"),
        ("", {"seed": 2}, "seed"),
        ("", {"objectives": {"score": "minimize"}}, "objectives"),
        ("", {"constraints": {"parameters": 5}}, "constraints"),
        ("", {"search": {**SEARCH, "student.sparsity": Range(0.0, 0.5)}}, "search"),
    ],
)
def test_another_sweep_is_not_continued(runs, tmp_path, fixed, changed, complaint):
    run_sweep(sweep_of(1), tmp_path / "s", "")
    with pytest.raises(StarkError, match=f"holds a sweep in which {complaint} differ"):
        run_sweep(sweep_of(1, **changed), tmp_path / "s", fixed)


def test_a_folder_of_something_else_is_left_alone(runs, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StarkError, match="is no sweep"):
        run_sweep(sweep_of(1), tmp_path, "")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_torn_line_of_the_journal_is_dropped(runs, tmp_path):
    run_sweep(sweep_of(2), tmp_path / "s", "")
    with (tmp_path / "s/trials.log").open("a") as file:
        file.write('{"op_code":4,"work')
    run_sweep(sweep_of(4), tmp_path / "s", "")
    run_sweep(sweep_of(5), tmp_path / "s", "")
    assert runs.calls == [f"{number:04}" for number in range(5)]


@pytest.mark.parametrize(
    ("workers", "known", "complaint"),
    [
        (0, {}, "workers is 0: give at least 1"),
        (2, {"constraints": {"latency": 5}}, "cannot be measured while other trials train"),
        (2, {"objectives": {"latency": "minimize"}}, "cannot be measured while other trials train"),
    ],
)
def test_workers(tmp_path, workers, known, complaint):
    with pytest.raises(StarkError, match=complaint):
        run_sweep(sweep_of(1, **known), tmp_path / "s", "", workers)
    assert not (tmp_path / "s").exists()
