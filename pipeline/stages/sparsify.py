"""Stages that score the teacher and cut it."""

from __future__ import annotations

from pathlib import Path

from pipeline.run_folder import BASELINE_SCORES, TEACHER_SCORES
from pipeline.settings import RunSettings
from pipeline.stages.leaving import log_pictures, save_model
from pipeline.stages.loss import trained_loss
from pipeline.stages.scorer import batches_for_scoring, on_device, scorer
from stark.encoders.cutting import shrink_
from stark.encoders.layer_dropping import drop_layers
from stark.encoders.layers import encoder_layers
from stark.losses.soft_targets import SoftTargets
from stark.model_folders.model_folder import load_classifier, load_tokenizer
from stark.pruning import prune
from stark.scores.expressiveness import EXPRESSIVENESS
from stark.scores.friendliness import FRIENDLINESS, score_teacher
from stark.scores.rankings import SCORED, Ranking, ranked_masks
from stark.scores.rankings import score_baselines as teacher_baseline_scores
from stark.scores.unit_scores import UnitScores

__all__ = ["cut_assistant", "cut_teacher", "score_baselines", "score_dense_teacher"]


def score_dense_teacher(settings: RunSettings, folder: Path, teacher: Path, student: Path) -> None:
    """Score the dense teacher against the trial student: ``folder/teacher_scores.safetensors``.

    Args:
        settings: The run's settings.
        folder: Folder of the stage.
        teacher: Model folder of the dense teacher.
        student: Model folder of the trial student.
    """
    trainer = scorer(settings)
    dense, trial = on_device(trainer, teacher, student)
    loss = trained_loss(settings.distillation, trial, dense, student.parent)
    batches = batches_for_scoring(settings, teacher, trainer)
    scores = score_teacher(dense, trial, batches, loss, settings.scoring.reduction)
    scores.save(folder / TEACHER_SCORES)
    log_pictures(settings, folder, lambda figures: figures.score_figures(scores))


def score_baselines(settings: RunSettings, folder: Path, teacher: Path, student: Path) -> None:
    """Score the dense teacher for rankings that need scores of their own: ``folder/baseline_scores.safetensors``.

    Args:
        settings: The run's settings.
        folder: Folder of the stage.
        teacher: Model folder of the dense teacher.
        student: Model folder of the trial student.
    """
    trainer = scorer(settings)
    dense, trial = on_device(trainer, teacher, student)
    loss = trained_loss(settings.distillation, trial, dense, student.parent)
    assert isinstance(loss, SoftTargets)  # checked when the run began
    scores = teacher_baseline_scores(dense, trial, batches_for_scoring(settings, teacher, trainer), loss)
    scores.save(folder / BASELINE_SCORES)


def cut_teacher(
    settings: RunSettings, folder: Path, dense: Path, scores: Path, ranking: float | Ranking, sparsity: float
) -> None:
    """Cut a sparse teacher from stored scores: a model folder.

    Args:
        settings: The run's settings; their seed is that of the ranking ``random``.
        folder: The model folder to write.
        dense: Model folder of the dense teacher.
        scores: File of its scores, of the kind that the ranking needs.
        ranking: A lam, or the name of another ranking.
        sparsity: Fraction of its heads and neurons to remove.
    """
    model = load_classifier(dense)
    losses = SCORED if ranking in SCORED else (EXPRESSIVENESS, FRIENDLINESS)
    masks = ranked_masks(ranking, sparsity, UnitScores.load(scores, model, losses), model, settings.seed)
    save_model(shrink_(model, masks), folder, load_tokenizer(dense))
    log_pictures(settings, folder, lambda figures: figures.mask_figures(folder, dense))


def cut_assistant(settings: RunSettings, folder: Path, dense: Path, scores: Path) -> None:
    """Cut a teacher-assistant, half-way between the dense teacher and the student: ``folder``.

    It loses half of what the student loses, by the same scores or of the same end.

    Source: Mirzadeh et al., 2020, "Improved Knowledge Distillation via Teacher Assistant".

    Args:
        settings: The run's settings.
        folder: The model folder to write.
        dense: Model folder of the dense teacher.
        scores: File of the scores that the student was cut by; not read for layers.
    """
    model, student = load_classifier(dense), settings.student
    if student.layers is not None:
        layers = len(encoder_layers(model))
        model = drop_layers(model, (layers + student.layers + 1) // 2, student.which)
    else:
        assert student.sparsity is not None  # StudentSettings checks it
        model = prune(model, UnitScores.load(scores, model, [EXPRESSIVENESS]), student.sparsity / 2, student.round_to)
    save_model(model, folder, load_tokenizer(dense))
