"""Stages that score the teacher and cut it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.run_folder import BASELINE_SCORES, TEACHER_SCORES
from pipeline.search.candidates import Candidate, RankedTeacher
from pipeline.settings import RunSettings
from pipeline.stages.leaving import log_pictures, save_model
from pipeline.stages.loss import trained_loss
from pipeline.stages.ranking import (
    budget_of,
    extra_parts,
    score_of,
    student_score,
    teacher_score,
)
from pipeline.stages.scorer import data_for_scoring, on_device, refit_, scorer
from stark.encoders.cutting import shrink_
from stark.encoders.layer_dropping import drop_layers
from stark.encoders.layers import encoder_passes
from stark.model_folders.model_folder import load_classifier, load_tokenizer
from stark.pruning import choose_units, prune_
from stark.scores.score import Distilled, Score
from stark.scores.scoring import score_units
from stark.scores.unit_scores import UnitScores

__all__ = ["cut_assistant", "cut_teacher", "score_baselines", "score_dense_teacher"]


def score_dense_teacher(settings: RunSettings, folder: Path, teacher: Path, student: Path) -> None:
    """Score the dense teacher against the trial student, and write ``folder/teacher_scores.safetensors``.

    Args:
        settings: The run's settings.
        folder: Folder of the stage.
        teacher: Model folder of the dense teacher.
        student: Model folder of the trial student.
    """
    scores = _score(settings, teacher, student, [teacher_score(settings)])
    scores.save(folder / TEACHER_SCORES)
    log_pictures(settings, folder, lambda figures: figures.score_figures(scores))


def score_baselines(settings: RunSettings, folder: Path, teacher: Path, student: Path) -> None:
    """Score the dense teacher for baselines that need other scores; writes ``folder/baseline_scores.safetensors``.

    Args:
        settings: The run's settings.
        folder: Folder of the stage.
        teacher: Model folder of the dense teacher.
        student: Model folder of the trial student.
    """
    parts = [part for parts in extra_parts(settings).values() for part in parts]
    _score(settings, teacher, student, parts).save(folder / BASELINE_SCORES)


def _score(settings: RunSettings, teacher: Path, student: Path, scores: Sequence[Score]) -> UnitScores:
    trainer = scorer(settings)
    dense, trial = on_device(trainer, teacher, student)
    loss = trained_loss(settings.distillation, trial, dense, student.parent)
    batches, problem = data_for_scoring(
        settings, teacher, trainer, settings.distillation, use_unlabelled=settings.scoring.use_unlabelled
    )
    return score_units(dense, batches, scores, Distilled(trial, loss), settings.scoring.reduction, problem=problem)


def cut_teacher(
    settings: RunSettings, folder: Path, dense: Path, scores: Path, teacher: Candidate | RankedTeacher
) -> None:
    """Cut a sparse teacher by stored scores, and write its model folder.

    Args:
        settings: The run's settings.
        folder: The model folder to write.
        dense: Model folder of the dense teacher.
        scores: File of the dense teacher's scores, with the parts that the sparse teacher's score needs.
        teacher: The sparse teacher.
    """
    model, score = load_classifier(dense), score_of(settings, teacher)
    masks = choose_units(model, score, score.read(scores, model), teacher.sparsity, budget_of(settings, "teacher"))
    model = shrink_(model, masks)
    if settings.teacher.refit:
        model = refit_(settings, model, dense)
    save_model(model, folder, load_tokenizer(dense))
    log_pictures(settings, folder, lambda figures: figures.mask_figures(folder, dense))


def cut_assistant(settings: RunSettings, folder: Path, dense: Path, scores: Path) -> None:
    """Cut a teacher assistant, half-way between the dense teacher and the student, and write its model folder.

    It loses half of what the student loses: by the same scores, or by dropping layers from the same end. It is refitted
    if the student is.

    Source: Mirzadeh et al., 2020, "Improved Knowledge Distillation via Teacher Assistant".

    Args:
        settings: The run's settings.
        folder: The model folder to write.
        dense: Model folder of the dense teacher.
        scores: File of the scores that the student was cut by; not read if layers are dropped.
    """
    model, student = load_classifier(dense), settings.student
    if student.layers is not None:
        layers = len(encoder_passes(model))
        model = drop_layers(model, (layers + student.layers + 1) // 2, student.which)
    else:
        assert student.sparsity is not None  # StudentSettings checks it
        score = student_score(settings)
        parts = score.read(scores, model)
        model = prune_(model, score, parts, student.sparsity / 2, budget_of(settings, "student"), student.round_to)
        if student.refit:
            model = refit_(settings, model, dense)
    save_model(model, folder, load_tokenizer(dense))
