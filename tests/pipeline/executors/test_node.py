"""The function that a node of a cluster calls, called here."""

import os
import signal
import subprocess
import sys
import threading
import time

import cloudpickle

from pipeline.executors.node import asked_for, node_work

SLEEP = "import time; open({ready!r}, 'w').close(); time.sleep(60)"


def python(code):
    return [sys.executable, "-c", code]


def test_status_output_threads_and_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_NTASKS", "4")  # by which Lightning would take the process for one of four
    code = "import os, sys; print(os.getcwd(), os.environ['OMP_NUM_THREADS'], os.environ.get('SLURM_NTASKS'))"
    log = tmp_path / "log"
    with asked_for(log.with_name("sign")):
        assert node_work(python(f"{code}; sys.exit(3)"), log, log.with_name("sign"), 2)() == 3
        assert node_work(python("import os; os.kill(os.getpid(), 9)"), log, log.with_name("sign"), 2)() == 137
    assert log.read_text() == f"{tmp_path} 2 None\n"
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def node(work):
    """A process that calls the function as nodes do, which have not our modules on their path."""
    code = f"import pickle, sys; status = pickle.loads({cloudpickle.dumps(work)!r})()"
    check = "assert 'pipeline' not in sys.modules; sys.exit(status)"
    return subprocess.Popen([sys.executable, "-P", "-c", f"{code}; {check}"], env={"PATH": os.environ["PATH"]}, cwd="/")


def test_it_needs_none_of_our_modules(tmp_path):
    log = tmp_path / "log"
    with asked_for(log.with_name("sign")):
        assert node(node_work(python("print('ran')"), log, log.with_name("sign"), 1)).wait(10) == 0
    assert log.read_text() == "ran\n"


def stopped(log, work, change):
    """Status and seconds of work during which something changes."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    with asked_for(log.with_name("sign")):
        thread.start()
        while not log.with_name("ready").exists():
            time.sleep(0.01)
        start = time.perf_counter()
        change()
        thread.join()
    return found[0], time.perf_counter() - start


def test_a_command_that_nobody_wants_any_more_stops(tmp_path):
    log = tmp_path / "log"
    code = python(SLEEP.format(ready=str(tmp_path / "ready")))
    status, seconds = stopped(log, node_work(code, log, log.with_name("sign"), 1), log.with_name("sign").unlink)
    assert status == 128 + signal.SIGTERM
    assert seconds < 5
    assert node_work(["never", "started"], log, log.with_name("sign"), 1)() == 128 + signal.SIGTERM


def test_a_command_of_a_machine_that_died_stops(tmp_path):
    """It goes on as long as its file is touched."""
    log = tmp_path / "log"

    def live():
        for _ in range(8):
            log.with_name("sign").touch()
            time.sleep(0.2)

    status, seconds = stopped(
        log,
        node_work(python(SLEEP.format(ready=str(tmp_path / "ready"))), log, log.with_name("sign"), 1, patience=0.8),
        live,
    )
    assert status == 128 + signal.SIGTERM
    assert 1.6 + 0.4 < seconds < 8


def test_a_warning_of_the_cluster_stops_the_command_in_time(tmp_path):
    """The command itself gets the signal, too, and does not mind."""
    log, ready = tmp_path / "log", tmp_path / "ready"
    stop = "import os, signal, time; signal.signal(15, lambda *_: (print('saved', flush=True), os._exit(143)))"
    command = python(f"{stop}; open({str(ready)!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    with asked_for(log.with_name("sign")):
        process = node(node_work(command, log, log.with_name("sign"), 1, warning=signal.SIGUSR2))
        while not ready.exists() or not ready.read_text():
            time.sleep(0.01)
        os.kill(int(ready.read_text()), signal.SIGUSR2)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGUSR2)
        assert process.wait(10) == 143
    assert log.read_text() == "saved\n"
