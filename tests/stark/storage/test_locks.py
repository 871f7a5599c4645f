"""Locks: one process at a time; a lock ends with its process."""

import signal
import subprocess
import sys
import time

import pytest

from stark.storage import folder_lock

HOLD = """
import cli, sys, time  # cli: as in the command, `stark` then imports no model
from pathlib import Path
from stark.storage import folder_lock

with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_kept_out_until_the_first_one_is_dead(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(FileExistsError, match="in use by another process"), folder_lock(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with folder_lock(tmp_path):
            pass


def test_patience(tmp_path):
    start = time.monotonic()
    with folder_lock(tmp_path / "new"), pytest.raises(FileExistsError), folder_lock(tmp_path / "new", patience=0.2):
        pass
    assert time.monotonic() - start >= 0.2
