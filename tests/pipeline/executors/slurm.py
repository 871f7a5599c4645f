"""A SLURM of one machine: the commands that submitit calls, which start and list jobs but schedule nothing.

`commands` writes them into a folder for PATH. In the folder of the states, a file `hold` lets new jobs wait, `refuse`
has the message with which they are refused, and `end` the state in which jobs end that fail.
"""

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

NAMES = ("sbatch", "srun", "sacct", "scancel")


def commands(folder: Path, states: Path) -> Path:
    """Write the commands; returns their folder."""
    folder.mkdir()
    states.mkdir()
    for name in NAMES:
        (folder / name).write_text(
            f'#!/bin/sh\nFAKE_SLURM={states} exec {sys.executable} -I -S {Path(__file__)} {name} "$@"\n'
        )
        (folder / name).chmod(0o755)
    return folder


def sbatch(states: Path, script: str) -> None:
    if (states / "refuse").exists():
        sys.exit((states / "refuse").read_text())
    number = 101
    while True:
        try:
            state = (states / str(number)).open("x")
            break
        except FileExistsError:
            number += 1
    with state:
        state.write("PENDING" if (states / "hold").exists() else "RUNNING")
    shutil.copy(script, states / f"{number}.sh")
    if not (states / "hold").exists():
        line = [sys.executable, "-I", "-S", __file__, "slurmd", str(number)]
        nothing = subprocess.DEVNULL
        subprocess.Popen(line, start_new_session=True, stdin=nothing, stdout=nothing, stderr=nothing)
    print(f"Submitted batch job {number}")


def slurmd(states: Path, number: str) -> None:
    task = {"SLURM_JOB_ID": number, "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "stark"}
    status = subprocess.run(["bash", states / f"{number}.sh"], env={**os.environ, **task}, check=False).returncode
    ends = {True: "COMPLETED", False: (states / "end").read_text() if (states / "end").exists() else "FAILED"}
    (states / number).write_text(ends[status == 0])


def srun(states: Path, *words: str) -> None:
    known, line = dict(pairwise(words)), list(words)
    for place, stream in (("--output", 1), ("--error", 2)):
        path = known[place].replace("%j", os.environ["SLURM_JOB_ID"]).replace("%t", "0")
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), stream)
    start = next(place for place, word in enumerate(line) if word.startswith("--cpus-per-task=")) + 1
    os.execvp(line[start], line[start:])


def sacct(states: Path, *words: str) -> None:
    print("JobID|State|NodeList")
    for option, number in pairwise(words):
        if option == "-j":
            print(f"{number}|{(states / number).read_text()}|here")
            print(f"{number}.batch|{(states / number).read_text()}|here")


def scancel(states: Path, which: str, number: str) -> None:
    assert which == "--state=PENDING"
    if (states / number).read_text() == "PENDING":
        (states / number).write_text(f"CANCELLED by {os.getuid()}")


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(os.environ["FAKE_SLURM"]), *sys.argv[2:])
