"""Fits in separate processes: signals, failures, output."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from callbacks import Interrupted
from pipeline.executors.elsewhere import go_on, run_elsewhere, stop_all

CHILD = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1], "w").close(), sys.exit(143)))
open(sys.argv[1] + ".ready", "w").close()
time.sleep(60)
"""


def test_a_run_elsewhere_is_told_of_a_signal_and_waited_for(tmp_path):
    told = tmp_path / "told"

    def interrupt(signum, _):
        raise Interrupted(signum)

    def send():
        while not (tmp_path / "told.ready").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, interrupt)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        with pytest.raises(Interrupted):
            run_elsewhere([sys.executable, "-c", CHILD, str(told)])
    finally:
        sender.join()
        signal.signal(signal.SIGTERM, before)
    assert told.exists()


@pytest.mark.parametrize(("code", "status"), [("sys.exit(2)", 2), ("os.kill(os.getpid(), 9)", 137)])
def test_a_run_elsewhere_that_fails(code, status):
    with pytest.raises(subprocess.CalledProcessError) as error:
        run_elsewhere([sys.executable, "-c", f"import os, sys; {code}"])
    assert error.value.returncode == status


@pytest.mark.parametrize("asked", ["", "1", "1000"])
def test_output_and_threads_of_one_of_several(asked, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    share = 1 if asked == "1" else max(1, len(os.sched_getaffinity(0)) // 2)
    code = "import os, sys; print(os.environ['OMP_NUM_THREADS']); sys.exit('stark: error: broken')"
    log = tmp_path / "stage/output.log"
    with pytest.raises(subprocess.CalledProcessError) as error:
        run_elsewhere([sys.executable, "-c", code], log=log, workers=2)
    assert error.value.returncode == 1
    assert log.read_text().splitlines() == [str(share), "stark: error: broken"]
    assert capsys.readouterr().err == f"stark: error: broken\n(all that it printed: {log})\n"


def test_all_are_stopped_also_one_that_only_starts(tmp_path):
    told, found = tmp_path / "told", []

    def run():
        with pytest.raises(subprocess.CalledProcessError) as error:
            run_elsewhere([sys.executable, "-c", CHILD, str(told)], log=tmp_path / "log", workers=2)
        found.append(error.value.returncode)

    thread = threading.Thread(target=run)
    thread.start()
    while not (tmp_path / "told.ready").exists():
        time.sleep(0.01)
    try:
        stop_all(signal.SIGTERM)
        thread.join()
        assert found == [143]
        with pytest.raises(subprocess.CalledProcessError):
            run_elsewhere([sys.executable, "-c", "import time; time.sleep(60)"])
    finally:
        go_on()
    run_elsewhere([sys.executable, "-c", ""])
