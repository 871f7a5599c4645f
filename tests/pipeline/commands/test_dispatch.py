"""Dispatch of commands, and packaged configs."""

import json
import subprocess
import sys

import pytest

import cli
from pipeline.commands import dispatch as commands
from pipeline.parsing.yaml_text import CONFIGS

# Modules that each take a second or more to import.
HEAVY = ["datasets", "lightning_fabric", "pytorch_lightning", "torch", "torchmetrics", "transformers"]
# A process reads command lines one after the other, and prints after each which of these it has imported.
READ = """
import contextlib, io, json, sys
from cli import main

for line in json.loads(sys.argv[1]):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            main(line)
            status = None
        except SystemExit as end:
            status = end.code
    print(json.dumps([status, printed.getvalue(), [name for name in json.loads(sys.argv[2]) if name in sys.modules]]))
"""


def read_by_a_process(lines):
    process = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(lines), json.dumps(HEAVY)], capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in process.stdout.splitlines()]


def test_help_does_not_wait_for_torch():
    asked = commands.command_names()
    found = read_by_a_process([[command, "--help"] for command in asked])
    assert [(status, imported) for status, _, imported in found] == [(0, [])] * len(asked)
    for command, (_, printed, _) in zip(asked, found, strict=True):
        assert printed.startswith(f"usage: stark {command} ")


def test_errors_of_the_command_line_do_not_wait_for_torch():
    data = ["--model_name_or_path", "x", "--data.task", "rte"]
    lines = [
        ["run", *data, "--student.sparsty", "0.7"],
        ["run", *data, "--student.sparsity", "much"],
        ["run", *data, "--student.which", "middle"],
        ["export", "x", "--format", "onix"],
        ["predict-file", "x"],
        ["repot", "runs/x"],
    ]
    found = read_by_a_process(lines)
    assert [(status, imported) for status, _, imported in found] == [(2, [])] * len(lines)
    assert all(printed.startswith("stark: error: ") and printed.count("\n") == 1 for _, printed, _ in found)


def test_each_command_of_the_help_is_there():
    listed = cli._HELP.partition("commands:\n")[2].partition("\n\n")[0]
    names = {line.split()[0] for line in listed.splitlines()}
    assert names == {*commands.FITS, *commands.command_names()}


def test_packaged_configs_are_found_where_there_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packaged = str(CONFIGS / "run.yaml")
    asked = ["--config", "configs/run.yaml", "--config=configs/run.yaml", "--config=configs/own.yaml", "configs"]
    assert commands.find_configs(asked) == ["--config", packaged, f"--config={packaged}", *asked[3:]]


def test_own_configs_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/run.yaml").write_text("seed: 1\n")
    assert commands.find_configs(["configs/run.yaml"]) == ["configs/run.yaml"]


def test_a_stage_of_several_processes_passes_its_status_on(monkeypatch):
    def failed(_: object) -> None:
        subprocess.run([sys.executable, "-c", "raise SystemExit(2)"], check=True)

    monkeypatch.setattr("pipeline.commands.sample_data.command", failed)
    with pytest.raises(SystemExit) as stopped:
        commands.run_command(["sample-data", "x"])
    assert stopped.value.code == 2


def test_defects_keep_their_traceback(monkeypatch):
    def broken(_: object) -> None:
        int("not a number")

    monkeypatch.setattr("pipeline.commands.sample_data.command", broken)
    with pytest.raises(ValueError, match="invalid literal"):
        commands.run_command(["sample-data", "x"])
