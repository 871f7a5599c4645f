"""The source of a task and a folder."""

import pytest

from datamodules.sources.glue_files import TSVSource
from datamodules.sources.hub import HubSource
from datamodules.sources.opening import open_source, open_task, read_own_task
from datamodules.sources.own import OwnSource
from datamodules.tasks.glue import find_task


def test_a_glue_task_has_the_hub_or_the_files_of_a_folder(sample_dir):
    assert isinstance(open_source(find_task("sst2"), None), HubSource)
    assert isinstance(open_source(find_task("sst2"), str(sample_dir)), TSVSource)


def test_an_own_task_has_its_files(tmp_path):
    (tmp_path / "own.yaml").write_text("{train: a.csv, dev: b.csv, text: t, label: l, labels: [x, y]}")
    task = read_own_task(tmp_path / "own.yaml")
    assert open_source(task, None) == OwnSource(task)


def test_a_folder_without_the_task_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        open_source(find_task("sst2"), str(tmp_path))


def test_a_task_is_opened_by_its_name(tmp_path):
    assert open_task("sst2") == find_task("sst2")
    (tmp_path / "own.yaml").write_text("{train: a.csv, split: {dev: 0.1}, text: t, label: l, labels: [x, y]}")
    task = open_task(str(tmp_path / "own.yaml"), str(tmp_path / "data"))
    assert task == read_own_task(tmp_path / "own.yaml", str(tmp_path / "data"))
    assert task.files == dict.fromkeys(("train", "dev"), tmp_path / "data/a.csv")
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_task("nowhere.yaml")
