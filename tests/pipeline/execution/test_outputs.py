"""Readers of a run refuse files that differ from the manifest, and name the file in one line."""

import json
import shutil

import pytest

from cli import main
from pipeline.execution.manifest import Manifest, Record
from pipeline.execution.outputs import read_config, read_json, read_output
from stark.storage import DamagedError, read_tensors, write_tensors


def edited_summary(path):
    path.write_text(path.read_text().replace('"accuracy": 0.', '"accuracy": 0.9'))


def another_settings(path):
    path.write_text(path.read_text().replace("temperature: null", "temperature: 4.0"))


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def null(path):
    path.write_text("null")


def foreign(path):
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0")


def of_another_run(path):
    """Replace a file by the intact one of another run, which contains the right checksum."""
    tensors, notes = read_tensors(path)
    write_tensors(path, {name: tensor + 1 for name, tensor in tensors.items()}, **notes)


DAMAGES = [
    *(("summary.json", damage) for damage in (edited_summary, cut, null, foreign)),
    *(("config.yaml", damage) for damage in (another_settings, cut, null, foreign)),
    ("dev_logits.safetensors", of_another_run),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_no_page_or_card_is_made_from_it(pruned_run, tmp_path, capsys, name, damage):
    run = shutil.copytree(pruned_run, tmp_path / "run")
    damage(run / name)
    output = str(tmp_path / "out.html")
    commands = [
        ["report", str(run), "--output", output],
        ["compare", str(run), str(pruned_run), "--output", output],
        ["card", str(run / "student"), "--output", output],
    ]
    for command in commands:
        with pytest.raises(SystemExit, match="2"):
            main(command)
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stark: error: ")]
        assert str(run / name) in line
    assert not (tmp_path / "out.html").exists()


def test_a_model_is_not_used_with_settings_that_its_run_did_not_have(pruned_run, tmp_path, capsys):
    run = shutil.copytree(pruned_run, tmp_path / "run")
    path = run / "config.yaml"
    path.write_text(path.read_text().replace("max_length: 128", "max_length: 8"))
    with pytest.raises(DamagedError, match=r"config\.yaml is damaged or was changed since the run's last"):
        read_config(run)
    manifest = Manifest.read(run)
    manifest.config = ""  # a run of an earlier version
    manifest.write()
    assert read_config(run)[1]["data"]["max_length"] == 8
    path.write_text("- a list\n")
    with pytest.raises(DamagedError, match="has no settings of a run"):
        read_config(run)
    path.write_text("data: [")
    with pytest.raises(DamagedError, match="is no YAML"):
        read_config(run)


def test_json_of_another_schema_or_of_no_stage(tmp_path):
    for content in ({"schema": 3}, [], None, {"schema": None}):
        (tmp_path / "found.json").write_text(json.dumps(content))
        manifest = Manifest(tmp_path, {"search": Record({}, {})})
        manifest.finish("search", ("found.json",), 0)
        with pytest.raises(ValueError, match=r"found\.json has schema .*, this version reads 2"):
            read_json(tmp_path, "found.json", 2)
    with pytest.raises(DamagedError, match=r"other\.json is not an output of a finished stage: give the run"):
        read_json(tmp_path, "other.json", 2)
    (tmp_path / "found.json").unlink()
    with pytest.raises(DamagedError, match=r"found\.json is missing"):
        read_output(tmp_path, "found.json")
