"""One of a fit's processes is killed: the fit ends with the status of a killed process, so that the run resumes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.commands import PATIENCE, ROOT

pytestmark = pytest.mark.faults


def test_a_killed_second_process_counts_as_lost(reference, tmp_path, fault_table):
    place = reference.new_place(tmp_path / "place")
    command = [
        *(sys.executable, "-m", "cli", "fit", "--config", str(ROOT / "configs/finetune.yaml")),
        *("--config", str(ROOT / "configs/task/sst2.yaml"), "--model.model_name_or_path", "sample_data/encoder"),
        *("--data.data_dir", "sample_data", "--data.cache_dir", "cache", "--trainer.default_root_dir", "runs/fit"),
        *("--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.max_epochs", "1000"),
        *("--trainer.enable_progress_bar", "false", "--early_stopping.patience", "1000"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    output = (tmp_path / "output.txt").open("wb")
    with subprocess.Popen(command, cwd=place, env=environment, stdout=output, stderr=output) as fit:
        deadline = time.monotonic() + PATIENCE
        while not (place / "runs/fit/checkpoints/last.ckpt").is_file():
            assert fit.poll() is None, (tmp_path / "output.txt").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        (second,) = _children(fit.pid)
        os.kill(second, signal.SIGKILL)
        status = fit.wait(PATIENCE)
    output.close()
    complaints = [] if status == 128 + signal.SIGKILL else [f"exit status {status}"]
    fault_table.record("SIGKILL of another process", complaints, 0)
    assert not complaints, (tmp_path / "output.txt").read_text()[-2000:]


def _children(process: int) -> list[int]:
    """The other processes of a fit, which Lightning started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/environ"):
        try:
            is_child = int((stat.parent / "stat").read_text().rsplit(")", 1)[1].split()[1]) == process
            if is_child and b"LOCAL_RANK=1" in stat.read_bytes().split(b"\0"):
                found.append(int(stat.parent.name))
        except OSError:  # it has just ended
            continue
    return found
