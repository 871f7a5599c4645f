"""Cutting the student."""

from callbacks import Pruning
from pipeline.stages.prune import cut_student
from stark.encoders.layers import kept_units
from stark.model_folders.model_folder import load_classifier
from tests.tasks import fit, make_trainer


def test_cut_student_is_the_pruning_callback(settings, tiny_task, tmp_path):
    cut_student(settings, tmp_path / "prune", tiny_task.teacher)
    module = tiny_task.distillation()
    fit(make_trainer(tmp_path / "fit", [Pruning(0.5)], max_epochs=0), module, tiny_task.data())
    assert kept_units(load_classifier(tmp_path / "prune/model")) == kept_units(module.student)
