"""The stage that cuts the student from the dense teacher, and factorises its embeddings."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning.utilities import rank_zero_info
from torch import nn

from callbacks.pruning import log_pruning
from pipeline.run_folder import MODEL, STUDENT_SCORES
from pipeline.settings import RunSettings
from pipeline.stages.leaving import log_pictures, save_model
from pipeline.stages.ranking import budget_of, student_score
from pipeline.stages.scorer import data_for_scoring, open_data, refit_, scorer
from stark.encoders.cutting import shrink_
from stark.encoders.layer_dropping import drop_layers
from stark.encoders.layers import kept_units
from stark.model_folders.model_folder import load_classifier, load_tokenizer
from stark.pruning import choose_units
from stark.scores.scoring import score_units
from stark.vocabulary.factorizing import count_tokens, factorise_embeddings_

__all__ = ["cut_student"]


def cut_student(
    settings: RunSettings, folder: Path, dense: Path, start: Path | None = None, sparsity: float | None = None
) -> None:
    """Cut the student; writes ``folder/model``, and the scores if units were removed.

    Args:
        settings: The run's settings.
        folder: Folder of the stage.
        dense: Model folder of the dense teacher.
        start: Model folder of a less sparse student from which it is cut; None for the dense teacher.
        sparsity: The fraction of the dense teacher's units that it loses, for a student on the path; None for the
            student's.
    """
    start = dense if start is None else start
    model = load_classifier(start)
    student = settings.student
    if student.layers is not None:
        model = drop_layers(model, student.layers, student.which)
    else:
        sparsity = student.sparsity if sparsity is None else sparsity
        assert sparsity is not None  # StudentSettings checks it
        score, trainer = student_score(settings), scorer(settings)
        batches, problem = data_for_scoring(settings, start, trainer, settings.finetuning)
        nn.Module.to(model, trainer.strategy.root_device)
        scores = score_units(model, batches, [score], reduction=settings.scoring.reduction, problem=problem)
        scores.save(folder / STUDENT_SCORES)
        original, budget = None if start == dense else load_classifier(dense), budget_of(settings, "student")
        before = kept_units(original or model)
        model = shrink_(model, choose_units(model, score, scores, sparsity, budget, student.round_to, original))
        log_pruning(before, kept_units(model), sparsity)
        if student.refit:
            model = refit_(settings, model, start)
    if student.embedding_rank is not None and start == dense:  # a student on the path has factorised embeddings
        texts = open_data(settings, start).training_texts()
        counts = count_tokens(load_tokenizer(start), texts, int(model.config.vocab_size))
        share = factorise_embeddings_(model, student.embedding_rank, counts)
        rank_zero_info(
            f"Embeddings of rank {student.embedding_rank}: {share:.1%} of their squared norm in train is kept"
        )
    save_model(model, folder / MODEL, load_tokenizer(start))
    log_pictures(settings, folder, lambda figures: figures.mask_figures(folder / MODEL, dense))
