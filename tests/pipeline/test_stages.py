"""Stages: the same as the callbacks, folder in, folder out."""

import pytest
import torch
import yaml

from callbacks import Pruning, TeacherSparsification
from pipeline import stages
from pipeline.settings import read_settings
from stark.encoders.layers import kept_units
from stark.model_folders.model_folder import load_classifier
from stark.scores.unit_scores import UnitScores
from tests.tasks import fit, make_trainer


@pytest.fixture
def settings(tiny_task):
    data = f"--data.data_dir {tiny_task.data_dir} --data.cache_dir {tiny_task.cache} --data.task sst2".split()
    options = ["--student.sparsity", "0.5", "--data.batch_size", "16", "--seed", "1"]
    return read_settings(["--model_name_or_path", str(tiny_task.encoder), *options, *data])[0]


def same_weights(first, second) -> bool:
    a, b = load_classifier(first).state_dict(), load_classifier(second).state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_cut_student_is_the_pruning_callback(settings, tiny_task, tmp_path):
    stages.cut_student(settings, tmp_path / "prune", tiny_task.teacher)
    module = tiny_task.distillation()
    fit(make_trainer(tmp_path / "fit", [Pruning(0.5)], max_epochs=0), module, tiny_task.data())
    assert kept_units(load_classifier(tmp_path / "prune/model")) == kept_units(module.student)


def test_scoring_and_cutting_are_the_sparsification_callback(settings, tiny_task, tmp_path):
    stages.cut_student(settings, tmp_path / "prune", tiny_task.teacher)
    student = tmp_path / "prune/model"
    stages.score_dense_teacher(settings, tmp_path / "sparsify", tiny_task.teacher, student)
    scores = tmp_path / "sparsify/teacher_scores.safetensors"
    stages.cut_teacher(settings, tmp_path / "sparsify/0.25_0.3", tiny_task.teacher, scores, 0.25, 0.3)
    module = tiny_task.distillation(student=student)
    callback = TeacherSparsification(0.25, 0.3)
    fit(make_trainer(tmp_path / "fit", [callback], max_epochs=0), module, tiny_task.data())
    assert same_weights(tmp_path / "fit/teacher", tmp_path / "sparsify/0.25_0.3")


def test_scores_can_be_cut_for_their_own_model_only(settings, tiny_task, tmp_path):
    stages.cut_student(settings, tmp_path / "prune", tiny_task.teacher)
    student = load_classifier(tmp_path / "prune/model")
    with pytest.raises(ValueError, match="scores"):
        UnitScores.load(tmp_path / "prune/student_scores.safetensors", student, ["expressiveness"])


def test_a_fit_can_be_repeated_by_its_yaml(settings, tiny_task, tmp_path):
    settings.distillation.epochs = 1
    stages.distill(settings, tmp_path / "trial", tiny_task.teacher, tiny_task.teacher, [])
    command = (tmp_path / "trial/stage.yaml").read_text().splitlines()[0]
    assert command == f"# stark fit --config {tmp_path / 'trial/stage.yaml'}"
    config = yaml.safe_load((tmp_path / "trial/stage.yaml").read_text())
    assert config["model"]["init_args"]["teacher"] == str(tiny_task.teacher)
    again = [
        "fit",
        "--config",
        str(tmp_path / "trial/stage.yaml"),
        "--trainer.default_root_dir",
        str(tmp_path / "again"),
    ]
    stages.StarkCLI(again)
    assert same_weights(tmp_path / "trial/model", tmp_path / "again/model")


def test_a_fit_whose_checkpoints_are_damaged_starts_anew(settings, tiny_task, tmp_path, caplog):
    settings.distillation.epochs = 1
    for resume in (False, True):
        stages.distill(settings, tmp_path / "trial", tiny_task.teacher, tiny_task.teacher, [], resume)
        weights = (tmp_path / "trial/model/model.safetensors").read_bytes()
        for path in (tmp_path / "trial/checkpoints").iterdir():
            path.write_bytes(path.read_bytes()[:1000])
        (tmp_path / "trial/output.log").write_text("of the first time")
    assert "best.ckpt is no checkpoint, or damaged" in caplog.text
    stages.distill(settings, tmp_path / "trial", tiny_task.teacher, tiny_task.teacher, [], resume=True)
    assert (tmp_path / "trial/model/model.safetensors").read_bytes() == weights
    assert not (tmp_path / "trial/output.log").exists()
