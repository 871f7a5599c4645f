"""What a command shows on standard error while it works."""

import io
import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.parsing import progress
from pipeline.parsing.progress import step

ROOT = Path(__file__).parents[3]
# A process with a step inside a step, which prints a warning between them and its result at the end.
WORK = """
import cli  # so that this process is the command
import sys, time
from pipeline.parsing.progress import step
with step("outer [b]x"):
    with step("inner", total=2) as advance:
        advance("1 of 2", 1)
        time.sleep(0.3)
        print("a warning", file=sys.stderr)
    print("a result of a library")
    time.sleep(0.2)
print("result")
"""
# A process that prints at its first write to standard error which libraries it has already imported.
FIRST = """
import io, json, os, sys
import cli

class Told(io.StringIO):
    def write(self, text):
        if text.startswith("stark: loading"):
            os.write(1, json.dumps([text, "torch" in sys.modules, "transformers" in sys.modules]).encode())
            os._exit(0)
        return super().write(text)

sys.stderr = Told()
cli.main(sys.argv[1:])
"""


def test_lines_without_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # CI systems set it, although their logs cannot move
    with step("outer \x1b[2J"), step("inner", total=2) as advance:
        advance("1 of 2", 1)
    print("result")
    shown = capsys.readouterr()
    assert shown.err == "stark: outer \\x1b[2J\nstark: inner\n"
    assert shown.out == "result\n"


def test_a_line_a_minute_without_a_terminal(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with step("counting") as advance:
        for number in range(1, 14):
            now += 10.0
            advance(f"{number} rows", None)
    assert capsys.readouterr().err.splitlines() == [
        "stark: counting",
        "stark: counting: 6 rows, 60 s",
        "stark: counting: 12 rows, 120 s",
    ]


def test_a_line_is_written_in_one_piece(monkeypatch):
    written = []
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys.stderr, "write", lambda text: written.append(text), raising=False)
    with step("working"):
        pass
    assert [text for text in written if text] == ["stark: working\n"]


def test_a_terminal_has_a_moving_line_and_stdout_the_results():
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", WORK],
        stdout=subprocess.PIPE,
        stderr=follower,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(follower)
    shown = b""
    try:
        while part := os.read(leader, 4096):
            shown += part
    except OSError:  # the end of a terminal
        pass
    os.close(leader)
    assert process.communicate()[0] == b"a result of a library\nresult\n"
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert "outer [b]x" in text
    assert re.search(r"inner .* 1 of 2 0:00:00", text)
    assert "a warning" in text
    assert not progress._shown


def test_an_error_ends_the_step(capsys):
    with pytest.raises(RuntimeError, match="power cut"), step("working"):
        raise RuntimeError("power cut")
    with step("next"):
        pass
    assert capsys.readouterr().err == "stark: working\nstark: next\n"


@pytest.mark.parametrize(
    "line",
    [
        *(["report", "runs/r"], ["compare", "a", "b"], ["card", "m"], ["export", "m", "--format", "onnx"]),
        *(["predict-file", "m", "--input", "i.csv"], ["push", "m", "me/m"], ["serve", "m"], ["sample-data", "d"]),
    ],
    ids=lambda line: line[0],
)
def test_the_first_line_comes_before_the_slow_imports(line):
    done = subprocess.run(
        [sys.executable, "-c", FIRST, *line], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == ["stark: loading the libraries\n", False, False]
