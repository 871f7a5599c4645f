"""The stage that ranks sparse teachers without training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from callbacks.scoring import scoring_batches
from pipeline.search.candidates import Candidate
from pipeline.search.prediction import HeldOut, Prediction, cross_fit, folds, predict
from pipeline.settings import RunSettings
from pipeline.stages.loss import trained_loss
from pipeline.stages.ranking import budget_of, score_of, teacher_score
from pipeline.stages.scorer import on_device, open_data, scorer
from stark.encoders.units import UnitMasks
from stark.pruning import choose_units
from stark.scores.score import Distilled
from stark.scores.scoring import score_units
from stark.scores.unit_scores import UnitScores

__all__ = ["predict_students"]


def predict_students(
    settings: RunSettings, candidates: Sequence[Candidate], dense: Path, trial: Path, scores: Path
) -> dict[Candidate, Prediction]:
    """Rank sparse teachers without training; see `predict`.

    If the teacher's units are scored on the selection split, which also ranks the teachers, scores and ranking are
    cross-fitted.

    Args:
        settings: The run's settings.
        candidates: The sparse teachers.
        dense: Model folder of the dense teacher.
        trial: Model folder of the trial student.
        scores: File of the dense teacher's scores.

    Returns:
        A prediction for each candidate.
    """
    trainer, split, reduction = scorer(settings), settings.scoring.split, settings.scoring.reduction
    teacher, student = on_device(trainer, dense, trial)
    data = open_data(settings, dense)
    batches = list(scoring_batches(data, "selection", reduction, trainer.strategy.root_device))
    score, budget = teacher_score(settings), budget_of(settings, "teacher")
    loss = trained_loss(settings.distillation, student, teacher, trial.parent)
    trained = data.task.problem.for_train(data.train_labels(), settings.distillation.class_weights)
    if split == "selection" or (split, data.selection) == ("validation", "validation"):
        held_out = cross_fit(
            folds(batches),
            lambda fold: score_units(teacher, fold, [score], Distilled(student, loss), reduction, problem=trained),
        )
    else:
        held_out = [HeldOut(score.read(scores, teacher), batches)]

    def choose(candidate: Candidate, found: UnitScores) -> UnitMasks:
        return choose_units(teacher, score_of(settings, candidate), found, candidate.sparsity, budget)

    problem, metrics = data.task.problem, data.score_metrics
    return predict(candidates, settings.search, held_out, teacher, student, problem, metrics, choose)
