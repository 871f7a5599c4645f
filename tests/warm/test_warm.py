"""The replacement of Python does what Python does."""

import os
import signal
import subprocess
import sys

import pytest

TOLD = """
import os, signal, sys, threading
print(sys.argv, sys.path[:2], os.getcwd(), os.environ.get("OF_MINE"), os.getppid(), __name__, __spec__ is None)
print(sys.stdin.read(), file=sys.stderr)
"""


@pytest.fixture
def both(warm, tmp_path):
    """Function that runs the same with Python and with its replacement."""

    def run(*arguments, **environment):
        ended = [
            subprocess.run(
                [python, *arguments],
                cwd=tmp_path,
                env={**os.environ, **environment},
                input="asked",
                capture_output=True,
                text=True,
                check=False,
            )
            for python in (sys.executable, str(warm / "python"))
        ]
        real, forked = ((done.returncode, done.stdout, done.stderr) for done in ended)
        assert forked == real
        return real

    return run


@pytest.mark.parametrize("flags", [(), ("-P",), ("-u",)])
@pytest.mark.parametrize(
    "way", [("told.py", "a", "-b"), ("-m", "told", "a"), ("-c", TOLD, "a")], ids=["file", "module", "text"]
)
def test_a_program_finds_what_it_would_find(both, tmp_path, flags, way):
    (tmp_path / "told.py").write_text(TOLD)
    status, out, err = both(*flags, *way, OF_MINE="value", PYTHONPATH=str(tmp_path))
    assert (status, err) == (0, "asked\n")
    assert f"{tmp_path} value {os.getpid()} __main__" in out


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('a line')", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import atexit; atexit.register(print, 'at the end')", 0),
    ],
)
def test_it_ends_as_it_would_end(both, tmp_path, program, status):
    (tmp_path / "ends.py").write_text(program)
    assert both("ends.py")[0] == status


def test_an_error_that_nobody_handles_ends_it(both, tmp_path, warm):
    (tmp_path / "ends.py").write_text("raise ValueError('of mine')")
    ended = subprocess.run([str(warm / "python"), "ends.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "ValueError: of mine"


WAITS = """
import sys, time
try:
    print("here", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(7)
"""


def test_signals_reach_it(warm, tmp_path):
    (tmp_path / "waits.py").write_text(WAITS)
    command = [str(warm / "python"), "waits.py"]
    for signum, status in ((signal.SIGINT, 7), (signal.SIGTERM, -signal.SIGTERM)):
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"here\n"
            process.send_signal(signum)
            assert process.wait() == status


def test_a_killed_one_is_dead(warm, tmp_path):
    (tmp_path / "waits.py").write_text(WAITS)
    with subprocess.Popen([str(warm / "python"), "waits.py"], cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"here\n"
        process.kill()
        assert process.stdout.read() == b""  # closed when the fork ends, long before its minute is over
