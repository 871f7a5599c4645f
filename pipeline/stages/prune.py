"""The stage that cuts the student from the dense teacher."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from callbacks.pruning import log_pruning
from pipeline.run_folder import MODEL, STUDENT_SCORES
from pipeline.settings import RunSettings
from pipeline.stages.leaving import log_pictures, save_model
from pipeline.stages.ranking import budget_of, student_score
from pipeline.stages.scorer import data_for_scoring, refit_, scorer
from stark.encoders.layer_dropping import drop_layers
from stark.encoders.layers import kept_units
from stark.model_folders.model_folder import load_classifier, load_tokenizer
from stark.pruning import prune_
from stark.scores.scoring import score_units

__all__ = ["cut_student"]


def cut_student(settings: RunSettings, folder: Path, dense: Path) -> None:
    """Cut the student from the dense teacher; writes ``folder/model``, and the scores if units were removed.

    Args:
        settings: The run's settings.
        folder: Folder of the stage.
        dense: Model folder of the dense teacher.
    """
    model = load_classifier(dense)
    student = settings.student
    if student.layers is not None:
        model = drop_layers(model, student.layers, student.which)
    else:
        assert student.sparsity is not None  # StudentSettings checks it
        score, trainer = student_score(settings), scorer(settings)
        batches, problem = data_for_scoring(settings, dense, trainer, settings.finetuning)
        nn.Module.to(model, trainer.strategy.root_device)
        scores = score_units(model, batches, [score], reduction=settings.scoring.reduction, problem=problem)
        scores.save(folder / STUDENT_SCORES)
        before = kept_units(model)
        model = prune_(model, score, scores, student.sparsity, budget_of(settings, "student"), student.round_to)
        log_pruning(before, kept_units(model), student.sparsity)
        if student.refit:
            model = refit_(settings, model, dense)
    save_model(model, folder / MODEL, load_tokenizer(dense))
    log_pictures(settings, folder, lambda figures: figures.mask_figures(folder / MODEL, dense))
