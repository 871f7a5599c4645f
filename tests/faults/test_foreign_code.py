"""A run with a hostile name, in a folder full of foreign modules, and whose output's reader exits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.commands import COMMAND, PATIENCE, ROOT, RUN

pytestmark = pytest.mark.faults

# Names of our modules, of Python's, and of libraries.
MODULES = ("cli", "callbacks", "lightning_modules", "json", "random", "zoneinfo", "yaml", "torch", "datasets")
NAME = "x[/b]y"


@pytest.mark.parametrize("case", ["local", "ray"])
def test_a_run_of_several_processes_imports_nothing_from_its_folder(case, reference, tmp_path, fault_table):
    if case == "ray":
        pytest.importorskip("ray", reason="the extra [ray] is not installed")
    place = reference.new_place(tmp_path / "project", own=("runs",))
    (place / "runs" / NAME).parent.mkdir(parents=True)
    (place / RUN).rename(place / "runs" / NAME)
    mark = tmp_path / "imported"
    for name in MODULES:
        (place / name).mkdir()
        (place / name / "__init__.py").write_text(f"open({str(mark)!r}, 'a').write({name!r})\nraise SystemExit(3)\n")
    args = [NAME if arg == RUN.name else arg for arg in COMMAND]
    options = ["--from", "distill", "--workers", "2", "--executor", case]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(ROOT / "cli.py"), *args, *options],
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        os.close(writer)
    complaints = [f"imported {mark.read_text()}"] if mark.exists() else []
    if done.returncode or "Traceback" in done.stderr or not Path(place, "runs", NAME, "summary.json").exists():
        complaints.append(f"exit status {done.returncode}\n{done.stderr[-3000:]}")
    fault_table.record("modules of others in the current folder", complaints)
    assert not complaints, "\n".join(complaints)
