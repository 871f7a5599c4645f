"""The manifest: finished stages, and whose folder it is."""

import json

import pytest

from pipeline.manifest import Manifest

CONFIG = "seed: 1\nstudent: {sparsity: 0.7}\n"


def test_remembers_finished_stages(tmp_path):
    Manifest.open(tmp_path / "run", CONFIG).finish("trial", seconds=1.5)
    again = Manifest.open(
        tmp_path / "run", "student:\n  sparsity: 0.7\nseed: 1\n"
    )  # the same settings, written otherwise
    assert again.is_finished("trial")
    assert not again.is_finished("sparsify")
    assert again.stages["trial"] == {"seconds": 1.5}


def test_names_the_setting_that_differs(tmp_path):
    Manifest.open(tmp_path / "run", CONFIG)
    with pytest.raises(FileExistsError, match=r"student\.sparsity is 0\.7 there and 0\.5 here"):
        Manifest.open(tmp_path / "run", CONFIG.replace("0.7", "0.5"))
    assert (tmp_path / "run/config.yaml").read_text() == CONFIG


def test_refuses_a_folder_of_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match="is no run"):
        Manifest.open(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_takes_an_empty_folder(tmp_path):
    Manifest.open(tmp_path, CONFIG)
    assert (tmp_path / "config.yaml").read_text() == CONFIG


def test_refuses_another_schema(tmp_path):
    Manifest.open(tmp_path, CONFIG)
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": 99, "stages": {}}))
    with pytest.raises(ValueError, match="schema 99"):
        Manifest.open(tmp_path, CONFIG)
