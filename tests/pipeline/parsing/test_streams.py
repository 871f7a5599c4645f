"""Standard streams that are closed, or whose reader exits."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# A command that prints, opens a file, prints again, and writes a result at its end.
WORK = """
import os, sys, time
import cli  # so that this process is the command, which imports torch only when it works
from pipeline.parsing.streams import standard_streams
with standard_streams(sys.argv[1]):
    for number in range(3):
        print("shown", number, flush=True)
        if number == 0 and sys.argv[2:]:
            open(sys.argv[2], "w").close()
            while not os.path.exists(sys.argv[3]):
                time.sleep(0.01)
    print("progress", file=sys.stderr, flush=True)
    sys.stdin.read()
    open("result", "w").write("all of it")
"""


def work(folder: Path, command: str, redirected: str) -> tuple[int, str]:
    """Run the command by a shell with redirected streams, and return its exit status and standard error."""
    line = f'"$0" -c "$1" {command} {redirected}'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line, sys.executable, WORK],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("redirected", ["", ">&-", "<&-", "2>&-", ">&- 2>&- <&-", "| true", "2>&1 | true", "| head -1"])
def test_a_command_that_leaves_files_goes_on(redirected, tmp_path):
    status, said = work(tmp_path, "run", redirected)
    assert (status, said.replace("progress\n", "")) == (0, "")
    assert (tmp_path / "result").read_text() == "all of it"


@pytest.mark.parametrize(
    ("redirected", "status", "said"),
    [
        ("| true", 141, ""),
        (">&-", 2, "stark: error: standard output: Bad file descriptor\n"),
        (">/dev/full", 2, "stark: error: standard output: No space left on device\n"),
        ("<&-", 0, "progress\n"),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
    ],
)
def test_a_command_that_prints_its_result_ends(redirected, status, said, tmp_path):
    assert work(tmp_path, "predict-file", redirected) == (status, said)
    assert (tmp_path / "result").exists() == (status == 0)


def test_a_full_disk_stops_every_command(tmp_path):
    assert work(tmp_path, "run", ">/dev/full") == (2, "stark: error: standard output: No space left on device\n")


def test_a_file_does_not_get_what_is_printed(tmp_path):
    """Without protection, the file would get the descriptor of the closed stream."""
    (tmp_path / "go").write_text("")
    assert work(tmp_path, "run", "checkpoint go >&-")[0] == 0
    assert (tmp_path / "checkpoint").read_text() == ""


def test_a_terminal_that_is_gone(tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, "run", "started", "go"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.read(ours, 5)
    os.close(ours)  # from now on writing fails with EIO
    (tmp_path / "go").touch()
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "result").exists()


def test_the_reason_of_a_failure_counts_for_more_than_the_lost_output(tmp_path):
    code = WORK.replace("sys.stdin.read()", "print('unseen'); sys.exit(2)").replace("flush=True", "flush=False")
    line = '"$0" -c "$1" predict-file >/dev/full'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", line, sys.executable, code], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 2
