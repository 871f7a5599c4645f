"""SIGKILL of a run with several workers and a search: the same command gives the result of an undisturbed run."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.test_kills import SEED
from tests.pipeline.runs import options, read, without_seconds

pytestmark = pytest.mark.faults

KILLS = 4
MODES = ("halving", "predict")


def start(task, folder: Path, mode: str) -> subprocess.Popen:
    candidates = ("--teacher.lams", "[0.0,1.0]", "--teacher.sparsities", "[0.2]")
    more = ("--search.mode", mode, *candidates, "--seeds", "[1,2]", "--workers", "2")
    command = [sys.executable, "-m", "cli", *options(task, folder, *more)]
    with log_of(folder).open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def log_of(folder: Path) -> Path:
    return folder.with_suffix(".log")


def result(folder: Path) -> tuple[dict, dict, dict]:
    """The summary, the finished stages (halving does not finish all), and the bytes of every student's weights."""
    stages = json.loads((folder / "manifest.json").read_text())["stages"]
    weights = {
        str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("distill/**/*.safetensors"))
    }
    return without_seconds(read(folder)), {name: stage["finished"] for name, stage in stages.items()}, weights


@pytest.mark.parametrize("mode", MODES)
def test_a_search_goes_on_after_kills(mode, tiny_task, tmp_path):
    drawn, began = random.Random(SEED), time.monotonic()
    whole = start(tiny_task, tmp_path / "whole", mode)
    assert whole.wait() == 0, log_of(tmp_path / "whole").read_text()
    seconds = time.monotonic() - began
    killed = 0
    for number in range(KILLS):
        process = start(tiny_task, tmp_path / "killed", mode)
        # Finished work is kept, so each part of a run is a quarter of the whole.
        time.sleep(seconds * (1 + drawn.random()) / (KILLS + 1) if number else seconds * drawn.random() / 4)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed >= KILLS - 1  # the last kill may come after the end
    last = start(tiny_task, tmp_path / "killed", mode)
    assert last.wait() == 0, log_of(tmp_path / "killed").read_text()
    found, expected = result(tmp_path / "killed/tiny"), result(tmp_path / "whole/tiny")
    assert found[2].keys() == expected[2].keys()
    assert found == expected
