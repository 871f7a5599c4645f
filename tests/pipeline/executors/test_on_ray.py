"""Fits on Ray: a cluster on this machine."""

import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

from cli import main
from pipeline.executors import on_ray
from pipeline.executors.elsewhere import go_on, run_elsewhere, stop_all
from pipeline.executors.executor import LOST
from pipeline.executors.on_ray import OnRay
from tests.pipeline.runs import options, read, without_seconds

ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")

# Ray itself leaves resources open and uses deprecated names.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    on_ray._start(ray, num_cpus=2)
    yield
    ray.shutdown()


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_status_output_and_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.executors.on_ray.threads_of", lambda workers: 2 // workers)
    code = "import os, sys; print(os.getcwd(), os.environ['OMP_NUM_THREADS']); sys.exit(3)"
    assert OnRay().run(python(code), tmp_path / "log", workers=1, gpus=0) == 3
    assert (tmp_path / "log").read_text() == f"{tmp_path} 2\n"


def test_nothing_is_imported_from_the_current_folder(tmp_path, monkeypatch):
    folders = ray.get(ray.remote(lambda: sys.path).remote())  # of a worker, to whose path Ray would add the folder
    assert not {"", os.getcwd()} & set(folders) - set(sys.path[1:])
    (tmp_path / "zoneinfo.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/own")
    code = "import sys, zoneinfo; sys.exit('/own' not in sys.path)"
    assert OnRay().run(python(code), tmp_path / "log", workers=2, gpus=0) == 0


def test_a_killed_process_and_a_lost_worker(tmp_path):
    for victim in ("os.getpid()", "os.getppid()"):
        code = f"import os, time; os.kill({victim}, 9); time.sleep(1)"
        assert OnRay().run(python(code), tmp_path / "log", workers=2, gpus=0) == LOST


def test_a_command_that_cannot_run_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"Ray could not run nowhere.*No such file"):
        OnRay().run(["nowhere"], tmp_path / "log", workers=2, gpus=0)


def test_a_signal_reaches_the_fits(tmp_path):
    ready, found = tmp_path / "ready", []

    def work():
        code = f"import time; open({str(ready)!r}, 'w').close(); time.sleep(100)"
        with pytest.raises(subprocess.CalledProcessError) as error:
            run_elsewhere(python(code), tmp_path / "log", executor=OnRay())
        found.append(error.value.returncode)

    thread = threading.Thread(target=work)
    thread.start()
    while not ready.exists():
        time.sleep(0.05)
    start = time.perf_counter()
    try:
        stop_all(15)
        thread.join()
    finally:
        go_on()
    assert found == [143]
    assert time.perf_counter() - start < 30


def test_a_run_on_ray_is_that_of_one_process(pruned_run, tiny_task, tmp_path):
    """The run is compared from its trial on; the finetuned teacher is copied."""
    shutil.copytree(pruned_run, tmp_path / "tiny")
    main(options(tiny_task, tmp_path, "--from", "trial", "--executor", "ray", "--workers", "2"))
    assert without_seconds(read(tmp_path / "tiny")) == without_seconds(read(pruned_run))
    for name in ("trial", "distill/0.5_0.2"):
        assert (tmp_path / "tiny" / name / "output.log").is_file()
        file = f"{name}/model/model.safetensors"
        assert (tmp_path / "tiny" / file).read_bytes() == (pruned_run / file).read_bytes()


def test_a_cluster_that_does_not_start_is_one_line_and_leaves_nothing():
    """The test uses a separate process, because this one has a cluster."""
    code = """
import os, subprocess, warnings
import ray
from pipeline.executors import on_ray

def absent(*args):
    raise RuntimeError("no such node")

warnings.simplefilter("error", ResourceWarning)
on_ray._START_SECONDS, ray._private.services.get_node = 0.5, absent
os.environ.pop("RAY_ADDRESS", None)
try:
    on_ray._start(ray, num_cpus=1)
except ValueError as error:
    print(error)
listed = ["ps", "--no-headers", "--ppid", str(os.getpid()), "-o", "comm"]
print("left:", subprocess.run(listed, capture_output=True).stdout)
print(ray._private.services.get_node is absent, ray.is_initialized())
"""
    done = subprocess.run(python(code), capture_output=True, text=True, timeout=300, check=True)
    lines = done.stdout.splitlines()
    expected = "Ray did not start on this machine (its processes were not ready after 0.5 s): give "
    assert lines[0].startswith(expected)
    assert lines[1:] == ["left: b'ps\\n'", "True False"]


def test_threads_start_one_cluster(monkeypatch):
    """Ray's start is not thread-safe."""
    calls = []

    class Slow:
        _private = ray._private

        @staticmethod
        def is_initialized() -> bool:
            return bool(calls)

        @staticmethod
        def init(**how) -> None:
            time.sleep(0.1)
            calls.append(how)

    monkeypatch.setenv("RAY_ADDRESS", "auto")
    threads = [threading.Thread(target=on_ray._start, args=(Slow,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert "include_dashboard" not in calls[0]


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"^executor ray needs the extra \[ray\] .* pip install '\.\[ray\]' "):
        OnRay.check()
    assert LOST == 137
