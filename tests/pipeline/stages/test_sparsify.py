"""Scoring and cutting the teacher."""

import pytest

from callbacks import TeacherSparsification
from pipeline.search.candidates import Candidate
from pipeline.stages.prune import cut_student
from pipeline.stages.sparsify import cut_teacher, score_dense_teacher
from stark.model_folders.model_folder import load_classifier
from stark.scores.unit_scores import UnitScores
from tests.pipeline.runs import same_weights
from tests.tasks import fit, make_trainer


def test_scoring_and_cutting_are_the_sparsification_callback(settings, tiny_task, tmp_path):
    cut_student(settings, tmp_path / "prune", tiny_task.teacher)
    student = tmp_path / "prune/model"
    score_dense_teacher(settings, tmp_path / "sparsify", tiny_task.teacher, student)
    scores = tmp_path / "sparsify/teacher_scores.safetensors"
    cut_teacher(settings, tmp_path / "sparsify/0.25_0.3", tiny_task.teacher, scores, Candidate(0.25, 0.3))
    module = tiny_task.distillation(student=student)
    callback = TeacherSparsification(0.25, 0.3)
    fit(make_trainer(tmp_path / "fit", [callback], max_epochs=0), module, tiny_task.data())
    assert same_weights(tmp_path / "fit/teacher", tmp_path / "sparsify/0.25_0.3")


def test_scores_can_be_cut_for_their_own_model_only(settings, tiny_task, tmp_path):
    cut_student(settings, tmp_path / "prune", tiny_task.teacher)
    student = load_classifier(tmp_path / "prune/model")
    with pytest.raises(ValueError, match="scores"):
        UnitScores.load(tmp_path / "prune/student_scores.safetensors", student, ["expressiveness"])
