"""Dispatch of commands, and packaged configs."""

import subprocess
import sys

import pytest

from pipeline import commands


def test_packaged_configs_are_found_where_there_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packaged = str(commands.CONFIGS / "run.yaml")
    asked = ["--config", "configs/run.yaml", "--config=configs/run.yaml", "--config=configs/own.yaml", "configs"]
    assert commands._find_configs(asked) == ["--config", packaged, f"--config={packaged}", *asked[3:]]


def test_own_configs_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/run.yaml").write_text("seed: 1\n")
    assert commands._find_configs(["configs/run.yaml"]) == ["configs/run.yaml"]


def test_a_stage_of_several_processes_passes_its_status_on(monkeypatch):
    def failed(_: list[str]) -> None:
        subprocess.run([sys.executable, "-c", "raise SystemExit(2)"], check=True)

    monkeypatch.setitem(commands._COMMANDS, "sample-data", failed)
    with pytest.raises(SystemExit) as stopped:
        commands.run_command(["sample-data"])
    assert stopped.value.code == 2


def test_defects_keep_their_traceback(monkeypatch):
    def broken(_: list[str]) -> None:
        int("not a number")

    monkeypatch.setitem(commands._COMMANDS, "sample-data", broken)
    with pytest.raises(ValueError, match="invalid literal"):
        commands.run_command(["sample-data"])
