import pytest

from pipeline.manifest import Manifest
from pipeline.model_data import data_of, run_of


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs/mine"
    (folder / "student").mkdir(parents=True)
    Manifest(folder).write()
    (folder / "config.yaml").write_text("data: {task: rte, data_dir: glue, max_length: 64, batch_size: 3}\n")
    return folder


def test_a_model_has_the_data_of_its_run(run):
    assert run_of(run / "student") == run_of(run) == run
    data = data_of(run / "student")
    assert (data.task.name, data.data_dir, data.max_length) == ("rte", "glue", 64)
    assert data.model_name_or_path == str(run / "student")


def test_other_data_can_be_named(run):
    data = data_of(run / "student", "mrpc", "elsewhere")
    assert (data.task.name, data.data_dir, data.max_length) == ("mrpc", "elsewhere", 64)


def test_outside_of_a_run_they_must_be(tmp_path):
    assert run_of(tmp_path) is None
    assert data_of(tmp_path, "sst2").task.name == "sst2"
    with pytest.raises(ValueError, match=r"lies in no run, so that its data are unknown: give --data\.task"):
        data_of(tmp_path)
