import shutil

import pytest

from datamodules import open_task
from datamodules.sources.opening import open_source
from pipeline.deploy.model_data import check_labels, data_of, keep_description, run_of, settings_of, task_of, texts_of
from pipeline.execution.manifest import Manifest
from pipeline.run_folder import RunFolder
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.model_folders.model_inputs import ModelInputs
from tests.own import write_own

INPUTS = ModelInputs(48, "stark", ("body",), "classification", True, "reviews")


@pytest.fixture
def run(tiny_task, tmp_path):
    """A run with a model of an earlier version, which does not record how its rows are prepared."""
    folder = tmp_path / "runs/mine"
    save_classifier(load_classifier(tiny_task.teacher), folder / "student", load_tokenizer(tiny_task.teacher))
    Manifest(folder).write()
    configure(folder, "sst2", tiny_task.data_dir)
    return folder


def configure(run, task, data_dir):
    place = "null" if data_dir is None else data_dir
    settings = f"task: {task}, data_dir: {place}, max_length: 64, batch_size: 3"
    (run / "config.yaml").write_text(f"data: {{{settings}}}\n")


@pytest.fixture
def own(run, tiny_task, tmp_path):
    """The description of a user's own task, next to its files; the run has a copy of it."""
    (tmp_path / "project").mkdir()
    description = write_own("sst2", tiny_task, tmp_path / "project", "csv")
    configure(run, description, None)
    keep_description(open_task(str(description)), RunFolder(run))
    return description


def test_a_model_has_the_data_of_its_run(run, tiny_task):
    assert run_of(run / "student") == run_of(run) == run
    data = data_of(run / "student")
    assert (data.task.name, data.data_dir, data.max_length) == ("sst2", str(tiny_task.data_dir), 64)
    assert data.model_name_or_path == str(run / "student")


def test_what_the_model_says_counts_more_than_its_run(run):
    model = load_classifier(run / "student")
    save_classifier(model, run / "other", load_tokenizer(run / "student"), INPUTS)
    data = data_of(run / "other")
    assert (data.max_length, data.segment_ids) == (48, "stark")
    assert texts_of(run / "other") == ("body",)
    assert texts_of(run / "student") == ("sentence",)


def test_other_data_can_be_named(run, tiny_task, tmp_path):
    (tmp_path / "own").mkdir()
    description = write_own("sst2", tiny_task, tmp_path / "own", "csv")
    data = data_of(run / "student", str(description))
    assert (data.task.name, data.max_length) == ("own_sst2", 64)


def test_outside_of_a_run_they_must_be(tiny_task):
    assert run_of(tiny_task.teacher) is None
    assert task_of(tiny_task.teacher) is None
    assert texts_of(tiny_task.teacher) is None
    assert data_of(tiny_task.teacher, "sst2", str(tiny_task.data_dir)).task.name == "sst2"
    with pytest.raises(ValueError, match=r"lies in no run, so that its data are unknown: give --data\.task"):
        data_of(tiny_task.teacher)


def test_the_run_keeps_the_description_byte_for_byte(run, own, tmp_path, monkeypatch):
    own.write_bytes(own.read_bytes().replace(b"\n", b"\r\n") + "# ü".encode())
    keep_description(open_task(str(own)), RunFolder(run))
    assert (run / "task/own_sst2.yaml").read_bytes() == own.read_bytes()
    # A description of the same name in the current folder is another task.
    (tmp_path / own.name).write_text("{train: a.csv, dev: b.csv, text: t, label: l, labels: [positive, negative]}")
    monkeypatch.chdir(tmp_path)
    own.unlink()
    assert task_of(run / "student").label_names == ("negative", "positive")
    assert data_of(run / "student").digest("dev")
    keep_description(open_task("sst2"), RunFolder(run))
    assert [path.name for path in (run / "task").iterdir()] == [own.name]


def test_data_that_were_moved_are_named(run, own, tmp_path):
    (tmp_path / "project").rename(tmp_path / "moved")
    assert task_of(run).name == "own_sst2"
    with pytest.raises(FileNotFoundError, match=r"project/dev\.csv: no such file .*: give --data\.data_dir"):
        data_of(run / "student")
    assert data_of(run / "student", data_dir=str(tmp_path / "moved")).digest("dev")


def test_a_relative_place_of_an_earlier_version_is_not_guessed(run, own, tiny_task, tmp_path, monkeypatch):
    """The current folder has a file of that name."""
    monkeypatch.chdir(tmp_path / "project")
    shutil.rmtree(run / "task")
    configure(run, own.name, None)
    with pytest.raises(FileNotFoundError, match=r"kept no description of its task: copy own_sst2\.yaml to .*/task/"):
        task_of(run / "student")
    assert texts_of(run / "student") is None
    monkeypatch.chdir(tiny_task.data_dir.parent)
    configure(run, "sst2", tiny_task.data_dir.name)
    with pytest.raises(FileNotFoundError, match=r"did not record where data lies: give --data\.data_dir"):
        data_of(run / "student")
    assert settings_of(run / "student")["max_length"] == 64


def test_labels_in_another_order_are_refused(run, own):
    text = own.read_text()
    check_labels(run / "student", task_of(run))
    (run / "task" / own.name).write_text(text.replace("[negative, positive]", "[positive, negative]"))
    message = r"student has the labels negative, positive, task 'own_sst2' has positive, negative: name the task's"
    with pytest.raises(ValueError, match=message):
        data_of(run / "student")


def test_what_is_wrong_in_a_model_is_one_line_with_its_folder(run):
    config = (run / "student/config.json").read_text().replace("{", '{"stark_inputs": {"max_length": 1}, ', 1)
    (run / "student/config.json").write_text(config)
    with pytest.raises(
        ValueError, match=r"^cannot load .*student: stark_inputs in its configuration must have"
    ) as error:
        texts_of(run / "student")
    assert "\n" not in str(error.value)


def test_the_copy_names_labels_that_were_found(run, own):
    digest = open_source(open_task(str(own)), None).digest("dev")
    own.write_text("".join(line for line in own.read_text().splitlines(True) if not line.startswith("labels:")))
    keep_description(open_task(str(own)), RunFolder(run))
    (own.parent / "train.csv").unlink()
    assert task_of(run).label_names == ("negative", "positive")
    assert data_of(run / "student").digest("dev") == digest
