"""Scoring and cutting the teacher."""

from dataclasses import replace

import pytest
import torch

from callbacks import TeacherSparsification
from pipeline.search.candidates import Candidate
from pipeline.settings import ScoringSettings
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


def test_rows_without_labels_count_in_what_needs_no_labels(settings, tiny_task, tmp_path):
    """Friendliness is that of all rows, whether they have labels or not; expressiveness that of the labelled ones."""
    cut_student(settings, tmp_path / "prune", tiny_task.teacher)

    names = ["expressiveness", "friendliness"]

    def scores(name, unlabelled, **data):
        scoring = ScoringSettings("train", use_unlabelled=unlabelled)
        settings_of_one = replace(settings, scoring=scoring, data={**settings.data, **data})
        score_dense_teacher(settings_of_one, tmp_path / name, tiny_task.teacher, tmp_path / "prune/model")
        return UnitScores.load(
            tmp_path / name / "teacher_scores.safetensors", load_classifier(tiny_task.teacher), names
        )

    every, labelled = scores("every", False), scores("labelled", False, labelled_limit=32)
    found = scores("found", True, labelled_limit=32)
    for side in ("heads", "neurons"):
        kinds = getattr(found, side), getattr(every, side), getattr(labelled, side)
        for mine, of_all, of_few in zip(*(kind["friendliness"] for kind in kinds), strict=True):
            torch.testing.assert_close(mine, of_all, rtol=1e-5, atol=1e-6)
            assert not torch.allclose(of_few, of_all, rtol=0.1)
        for mine, of_all, of_few in zip(*(kind["expressiveness"] for kind in kinds), strict=True):
            torch.testing.assert_close(mine, of_few, rtol=1e-5, atol=1e-6)
            assert not torch.allclose(of_few, of_all, rtol=0.1)


def test_the_selection_split_has_no_rows_without_labels():
    with pytest.raises(ValueError, match=r"scoring.use_unlabelled is true and scoring.split selection: only train has"):
        ScoringSettings(use_unlabelled=True)
