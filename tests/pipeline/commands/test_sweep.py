import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest
import yaml

from cli import main
from pipeline.execution.manifest import Manifest
from pipeline.executors import on_ray
from stark.model_folders.model_folder import load_classifier
from tests.pipeline.executors.slurm import commands
from tests.pipeline.runs import read, same_weights


@pytest.fixture
def asked(tiny_task):
    """A sweep over two settings of a tiny run."""
    return {
        "run": {
            **{"config": "configs/run.yaml", "model_name_or_path": str(tiny_task.encoder), "data.task": "sst2"},
            **{"data.data_dir": str(tiny_task.data_dir), "data.cache_dir": str(tiny_task.cache)},
            **{"finetuning.epochs": 1, "distillation.loss": None, "baselines": [], "data.batch_size": 16},
        },
        "search": {
            "student.sparsity": {"low": 0.3, "high": 0.8},
            "distillation.epochs": [0, 1],
        },
        "objectives": {"score": "maximize", "encoder_parameters": "minimize"},
        "trials": 1,
        "seed": 1,
    }


def sweep(folder, asked, *more):
    (folder / "sweep.yaml").write_text(yaml.safe_dump(asked, sort_keys=False))
    main(["sweep", str(folder / "sweep.yaml"), "--root", str(folder), "--name", "s", *more])


@pytest.mark.slow
def test_a_sweep_of_two_trials_trains_one_teacher(asked, tmp_path, warm_python, capsys):
    sweep(tmp_path, asked)
    sweep(tmp_path, asked, "--trials", "2")
    shown, place = capsys.readouterr().out, tmp_path / "s"
    found = json.loads((place / "sweep.json").read_text())["trials"]
    for trial in found:
        run = place / "trials" / trial["name"]
        settings = yaml.safe_load((run / "config.yaml").read_text())
        assert settings["student"]["sparsity"] == trial["settings"]["student.sparsity"]
        assert settings["distillation"]["epochs"] == trial["settings"]["distillation.epochs"]
        best = read(run)["best"]
        assert trial["measured"] == {
            "score": best["selection"]["score"],
            "encoder_parameters": best["encoder_parameters"],
        }
        encoder = load_classifier(run / "student").base_model.encoder
        assert best["encoder_parameters"] == sum(parameter.numel() for parameter in encoder.parameters())
        assert f"{trial['name']} " in shown
    first, second = (place / "trials" / trial["name"] for trial in found)
    assert found[0]["settings"] != found[1]["settings"]
    assert same_weights(first / "finetune/model", second / "finetune/model")
    assert Manifest.read(first).stages["finetune"] == Manifest.read(second).stages["finetune"]
    assert "finetune, finished earlier" in (place / "trials/0001.log").read_text()
    assert "finetune, finished earlier" not in (place / "trials/0000.log").read_text()


@pytest.mark.slow
def test_two_trials_at_a_time_on_slurm_train_one_teacher(asked, tmp_path, monkeypatch, capsys):
    """On stand-ins for SLURM's commands; one job is preempted while it trains the teacher, and another goes on."""
    pytest.importorskip("submitit", reason="the extra [slurm] is not installed")
    monkeypatch.setenv("PATH", str(commands(tmp_path / "bin", tmp_path / "states")), prepend=os.pathsep)
    (tmp_path / "states/end").write_text("PREEMPTED")
    asked |= {"executor": "slurm", "slurm": {"cpus": 1}, "trials": 2}

    def preempt():
        while not (found := list(tmp_path.glob("s/trials/0000/finetune/checkpoints/*.ckpt"))):
            time.sleep(0.05)
        killed.extend(found)
        listed = subprocess.run(["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
        # SLURM ends all processes of a job: first the one that would see the other one end.
        for word in (f" {tmp_path}/s/slurm/trials-0000", f" --root={tmp_path}/s/trials --name=0000"):
            for line in listed.splitlines():
                if word in line and "bash" not in line:
                    os.kill(int(line.split()[0]), signal.SIGKILL)

    killed = []
    thread = threading.Thread(target=preempt, daemon=True)
    thread.start()
    sweep(tmp_path, asked, "--workers", "2")
    thread.join()
    told, trials = capsys.readouterr(), tmp_path / "s/trials"
    assert "trial 0001 waits for the teacher of 0000" in told.out
    assert "its state is PREEMPTED" in told.err
    assert Manifest.read(trials / "0000").stages["finetune"] == Manifest.read(trials / "0001").stages["finetune"]
    assert "finetune, finished earlier" in (trials / "0001.log").read_text()
    assert len(list((tmp_path / "states").glob("*.sh"))) == 3
    assert (tmp_path / "s/report.html").read_text().count("<figure>") == 1


@pytest.mark.slow
# Ray itself leaves resources open and uses deprecated names.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_two_trials_at_a_time_on_ray_train_one_teacher(asked, tmp_path, capsys):
    ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
    on_ray._start(ray, num_cpus=2)
    try:
        sweep(tmp_path, asked | {"executor": "ray", "trials": 2}, "--workers", "2")
    finally:
        ray.shutdown()
    assert "trial 0001 waits for the teacher of 0000" in capsys.readouterr().out
    first, second = (Manifest.read(tmp_path / "s/trials" / name).stages for name in ("0000", "0001"))
    assert first["finetune"] == second["finetune"]
    assert first["student"].finished
    assert second["student"].finished


def test_a_mistake_of_a_trial_is_told(asked, tmp_path, warm_python, capfd):
    shutil.copytree(asked["run"]["data.data_dir"], tmp_path / "data")
    for file in (tmp_path / "data").glob("SST-2/train*"):
        file.write_text("sentence\tlabel\n")
    asked["run"]["data.data_dir"] = str(tmp_path / "data")
    with pytest.raises(SystemExit) as stopped:
        sweep(tmp_path, asked)
    assert stopped.value.code == 2
    told = capfd.readouterr().err.splitlines()
    assert told[-2].startswith("stark: error: ")
    assert told[-1] == f"(all that it printed: {tmp_path / 's/trials/0000.log'})"


@pytest.mark.parametrize(
    ("part", "setting", "value", "complaint"),
    [
        ("search", "student.sparsity", {"low": 0.5, "high": 1.5}, "search.student.sparsity of 1.5: sparsity"),
        ("search", "student.sparsity", {"low": 1, "high": "a"}, "search.student.sparsity: .* are numbers"),
        ("search", "distillation.epochs", [1, 2.5], 'Parser key "distillation.epochs": Expected'),
        ("search", "distillation.epochs", [1, -2], "search.distillation.epochs of -2: distillation.epochs is -2"),
        ("search", "student.score", ["stark.Fisher", "stark.Fishr"], 'Parser key "student.score"'),
        ("search", "workers", [1, 2], "search.workers: no such setting of stark run"),
        ("run", "finetuning.epochs", "many", 'Parser key "finetuning.epochs": '),
        ("run", "data.task", "nonsense", "unknown task 'nonsense': choose"),
    ],
)
def test_settings_are_checked_before_anything_runs(asked, tmp_path, capfd, part, setting, value, complaint):
    has_line = setting != "data.task"  # the task is read after all settings
    asked[part][setting] = value
    with pytest.raises(SystemExit) as stopped:
        sweep(tmp_path, asked)
    assert stopped.value.code == 2
    told = capfd.readouterr().err
    (line,) = (line for line in told.splitlines() if "error" in line)
    keys = [text.partition(":")[0].strip() for text in (tmp_path / "sweep.yaml").read_text().splitlines()]
    number = f", line {keys.index(setting) + 1}" if has_line else ""
    assert re.match(rf"stark: error: {tmp_path}/sweep.yaml{number}: .*{complaint}", line), line
    assert not (tmp_path / "s").exists()


def test_a_missing_extra_is_named(asked, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("pipeline.parsing.extras.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        sweep(tmp_path, asked)
    assert "stark sweep needs the extra [sweep] (optuna): pip install '.[sweep]'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("option", "complaint"), [(["--trials", "0"], "trials is 0"), (["--name", "../x"], "name is '../x'")]
)
def test_options(asked, tmp_path, capfd, option, complaint):
    with pytest.raises(SystemExit):
        sweep(tmp_path, asked, *option)
    assert complaint in capfd.readouterr().err


def test_a_file_of_rows_is_described_beside_the_sweep(asked, tmp_path, capsys):
    rows = "".join(f"film {n} is good,yes\nfilm {n} is bad,no\n" for n in range(20))
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}")
    asked["run"] |= {"data.task": str(tmp_path / "rows.csv"), "data.data_dir": None}
    asked["search"]["student.sparsity"]["high"] = 1.5  # so that nothing runs
    with pytest.raises(SystemExit):
        sweep(tmp_path, asked)
    assert "search.student.sparsity of 1.5" in capsys.readouterr().err
    assert yaml.safe_load((tmp_path / "s-rows/rows.yaml").read_text())["label"] == "label"
