"""Files and folders are there completely or not at all."""

import json

import pytest

from pipeline.files import copy_folder, write_json, write_text


def test_a_failed_write_leaves_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new")
    assert path.read_text() == "old"


def test_json_round_trip(tmp_path):
    values = {"a": [1, 2.5, None, "é"]}
    write_json(tmp_path / "sub/values.json", values)
    assert json.loads((tmp_path / "sub/values.json").read_text()) == values
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["values.json"]


def test_a_copy_replaces_the_whole_folder(tmp_path):
    for name, file in (("source", "new.txt"), ("target", "old.txt")):
        write_text(tmp_path / name / file, file)
    copy_folder(tmp_path / "source", tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["new.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]
