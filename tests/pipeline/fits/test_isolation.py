"""The import path of other processes that the program starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.executors.elsewhere import run_elsewhere
from pipeline.fits.isolation import SAFE_PATH, stark_command

ROOT = Path(__file__).parents[3]

# Names of our modules, of a module of Python, and of a library.
HIDING = ("cli", "callbacks", "json", "yaml")


@pytest.fixture
def poisoned(tmp_path, monkeypatch):
    """A current folder with modules that create a file when they are imported."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in HIDING:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()\nraise SystemExit(3)\n")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return folder


def left_a_mark(folder) -> bool:
    return (folder.parent / "mark").exists()


def test_a_run_elsewhere_finds_installed_code_only(poisoned):
    run_elsewhere(stark_command(["--help"]))
    # The same for a rank that Lightning starts, and for any other process that a fit starts.
    code = f"import subprocess, sys; subprocess.run([sys.executable, {stark_command([])[2]!r}, '--help'], check=True)"
    run_elsewhere([sys.executable, "-P", "-c", code])
    run_elsewhere([sys.executable, "-c", "import json, yaml"])
    assert not left_a_mark(poisoned)


def test_the_other_way_would_be_noticed(poisoned):
    subprocess.run([sys.executable, "-m", "cli"], check=False)
    assert left_a_mark(poisoned)


def test_a_checkout_that_is_not_installed_is_found(poisoned, tmp_path):
    """The command runs without site-packages: the help needs only Python's standard library."""
    executable, safe, *rest = stark_command(["--help"])
    done = subprocess.run([executable, safe, "-S", *rest], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.partition(" ")[0]) == (0, "usage:"), done.stderr
    assert not left_a_mark(poisoned)


def test_own_folders_stay_on_the_path(tmp_path, monkeypatch):
    (tmp_path / "own_module.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run_elsewhere([sys.executable, "-c", "import own_module"])


def test_the_other_ranks_are_started_by_the_same_file(tmp_path):
    """Lightning would restart a module by ``-m``, which searches the current folder."""
    code = (
        "import runpy, sys; sys.argv = ['cli', '--help']; before = set(sys.modules)\n"
        "found = runpy.run_module('cli', run_name='__main__', alter_sys=True)\n"
        "assert found['__spec__'] is None, found['__spec__']\n"
    )
    environment = {**os.environ, **SAFE_PATH, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, stdout=subprocess.DEVNULL)
