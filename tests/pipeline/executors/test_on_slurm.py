"""Jobs of SLURM, on one machine that has SLURM's commands, see `tests/pipeline/executors/slurm.py`."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from cli import main
from pipeline.executors import on_slurm
from pipeline.executors.elsewhere import go_on, run_elsewhere, stop_all
from pipeline.executors.executor import LOST
from pipeline.executors.on_slurm import OnSlurm
from pipeline.settings import SlurmSettings, check_ranges
from stark.errors import StarkError
from tests.pipeline.executors.slurm import commands
from tests.pipeline.runs import options, read, without_seconds

submitit = pytest.importorskip("submitit", reason="the extra [slurm] is not installed")

SETTINGS = SlurmSettings(partition="short", time="90min", gpus=2, cpus=3)


@pytest.fixture(autouse=True)
def states(tmp_path, monkeypatch):
    """Folder with a file for each job, which has its state."""
    found = commands(tmp_path / "bin", tmp_path / "states").with_name("states")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(on_slurm, "_POLL", 0.05)
    # A new one, because jobs of all tests have the same numbers.
    monkeypatch.setattr(submitit.SlurmJob, "watcher", type(submitit.SlurmJob.watcher)(delay_s=0.1))
    monkeypatch.setattr(submitit.SlurmJob, "_results_timeout_s", 0.2)
    return found


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def run(tmp_path, command, executor=None):
    executor = executor or OnSlurm(SETTINGS, tmp_path / "jobs")
    return executor.run(command, tmp_path / "log", workers=1, gpus=0)


def test_a_command_runs_as_a_job_and_leaves_its_output_alone(tmp_path, states, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    code = (
        "import os, sys; print(os.getcwd(), os.environ['OMP_NUM_THREADS'], 'SLURM_JOB_ID' in os.environ); sys.exit(3)"
    )
    assert run(tmp_path, python(code)) == 3
    assert (tmp_path / "log").read_text() == f"{tmp_path / 'here'} 3 False\n"
    assert list((tmp_path / "jobs").iterdir()) == []
    script = (states / "101.sh").read_text()
    for line in ("partition=short", "time=90", "gpus-per-node=2", "cpus-per-task=3", "no-requeue", "signal=USR2@90"):
        assert f"#SBATCH --{line}\n" in script
    assert "--cpus-per-task=3" in next(line for line in script.splitlines() if line.startswith("srun "))


@pytest.mark.slow
def test_what_is_not_asked_for_is_left_to_the_cluster(tmp_path, states):
    assert run(tmp_path, python(""), OnSlurm(SlurmSettings(), tmp_path / "jobs")) == 0
    assert not {"partition", "gpus"} & {
        word for line in (states / "101.sh").read_text().splitlines() for word in line.replace("=", "-").split("-")
    }


@pytest.mark.slow
def test_a_killed_command_is_lost(tmp_path):
    assert run(tmp_path, python("import os; os.kill(os.getpid(), 9)")) == LOST


@pytest.mark.slow
@pytest.mark.parametrize("state", ["PREEMPTED", "TIMEOUT", "NODE_FAIL"])
def test_a_job_that_dies_is_told_with_its_logs(tmp_path, states, state, capfd):
    (states / "end").write_text(state)
    assert run(tmp_path, python("import os, time; os.kill(os.getppid(), 9)")) == LOST
    (place,) = (tmp_path / "jobs").iterdir()
    told = capfd.readouterr().err.splitlines()[-1]
    assert told == (
        f"SLURM job 101 of {tmp_path} ended without a result, its state is {state}: {place}/101_0_log.err and "
        f"{tmp_path}/log may say why"
    )
    assert (place / "101_0_log.err").is_file()


@pytest.mark.slow
def test_a_command_that_cannot_run_is_named(tmp_path):
    with pytest.raises(StarkError, match=r"^SLURM could not run nowhere: FileNotFoundError: .*'nowhere' \(all that it"):
        run(tmp_path, ["nowhere"])


def test_a_refused_job_is_one_line(tmp_path, states):
    (states / "refuse").write_text("sbatch: error: invalid partition specified: short")
    with pytest.raises(
        StarkError, match=r"^sbatch refused a job \(sbatch: error: invalid partition specified: short\):"
    ):
        run(tmp_path, python(""))
    assert list((tmp_path / "jobs").iterdir()) == []


def stopped(tmp_path, command, is_ready):
    """Status and seconds of a command that is stopped when it is ready."""
    found = []

    def work():
        with pytest.raises(subprocess.CalledProcessError) as error:
            run_elsewhere(command, tmp_path / "log", executor=OnSlurm(SETTINGS, tmp_path / "jobs"))
        found.append(error.value.returncode)

    thread = threading.Thread(target=work)
    thread.start()
    while not is_ready():
        time.sleep(0.01)
    start = time.perf_counter()
    try:
        stop_all(signal.SIGINT)
        thread.join()
    finally:
        go_on()
    return found[0], time.perf_counter() - start


@pytest.mark.slow
def test_a_signal_lets_a_running_command_end_by_itself(tmp_path, states):
    ready = tmp_path / "ready"
    save = "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(0.5), print('saved'), sys.exit(143)))"
    command = python(f"{save}; open({str(ready)!r}, 'w').close(); time.sleep(60)")
    status, seconds = stopped(tmp_path, command, ready.exists)
    assert (status, (tmp_path / "log").read_text()) == (143, "saved\n")
    assert 0.5 < seconds < 8


@pytest.mark.slow
def test_a_signal_cancels_a_job_that_waits(tmp_path, states):
    (states / "hold").touch()
    status, seconds = stopped(tmp_path, python("print('ran')"), (states / "101").exists)
    assert (status, (states / "101").read_text()[:9]) == (LOST, "CANCELLED")
    assert seconds < 5
    assert list((tmp_path / "jobs").iterdir()) == []


@pytest.mark.slow
def test_a_run_on_slurm_is_that_of_one_process(pruned_run, tiny_task, tmp_path):
    """The run is compared from its trial on; the finetuned teacher is copied."""
    shutil.copytree(pruned_run, tmp_path / "tiny")
    slurm = ("--executor", "slurm", "--workers", "2", "--slurm.cpus", "1")
    main(options(tiny_task, tmp_path, "--from", "trial", *slurm))
    assert without_seconds(read(tmp_path / "tiny")) == without_seconds(read(pruned_run))
    for name in ("trial", "distill/0.5_0.2"):
        file = f"{name}/model/model.safetensors"
        assert (tmp_path / "tiny" / file).read_bytes() == (pruned_run / file).read_bytes()
    assert list((tmp_path / "tiny/slurm").iterdir()) == []


@pytest.mark.slow
def test_two_jobs_at_a_time(tmp_path, monkeypatch):
    """Each waits for the other one."""
    names, found = ("a", "b"), []

    def work(own, other):
        code = f"import os, time\nopen({own!r}, 'w').close()\nwhile not os.path.exists({other!r}): time.sleep(0.01)"
        log = tmp_path / f"{own}.log"
        found.append(OnSlurm(SETTINGS, tmp_path / "jobs").run(python(code), log, workers=2, gpus=0))

    monkeypatch.chdir(tmp_path)
    threads = [threading.Thread(target=work, args=pair) for pair in (names, names[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [0, 0]


def test_where_jobs_cannot_be_submitted_a_line_says_so(monkeypatch):
    OnSlurm.check()
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "srun" else name)
    with pytest.raises(StarkError, match="executor is slurm, but this machine has no srun: give the command where"):
        OnSlurm.check()
    monkeypatch.setattr("pipeline.parsing.extras.find_spec", lambda name: None)
    with pytest.raises(StarkError, match=r"^executor slurm needs the extra \[slurm\] \(submitit\)"):
        OnSlurm.check()


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [({"time": "soon"}, "time is 'soon': give a duration"), ({"time": "30s"}, "slurm.time is 30s: give at least 1min")],
)
def test_a_time_is_a_duration(wrong, complaint):
    with pytest.raises(StarkError, match=complaint):
        SlurmSettings(**wrong)
    with pytest.raises(StarkError, match=r"slurm\.cpus is 0: choose a number at least 1"):
        check_ranges("slurm", SlurmSettings(cpus=0))
