"""The stage that evaluates all models."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from datamodules import GLUEDataModule
from pipeline.execution.manifest import Manifest
from pipeline.results.alarms import Answers, run_alarms
from pipeline.results.choice import choose, eligible
from pipeline.results.classes import class_scores
from pipeline.results.comparison import best_by_method, compare
from pipeline.results.measure import evaluate, module_of, size
from pipeline.results.summary import SCORE, Asked, Model, Summary, Trained
from pipeline.run_folder import RunFolder
from pipeline.settings import RunSettings
from stark.model_folders.model_folder import load_classifier
from stark.storage import write_tensors

__all__ = ["summarize"]


def summarize(settings: RunSettings, manifest: Manifest, trained: Sequence[Trained]) -> Summary:
    """Evaluate every model on the selection split, choose the best, and only then evaluate on dev.

    Writes ``dev_logits.safetensors``.

    Args:
        settings: The run's settings.
        manifest: The run's manifest, which contains the duration of each stage in seconds.
        trained: The dense teacher, then all students, students of denser teachers first.

    Returns:
        The results of the run.
    """
    root = settings.folder
    folder = RunFolder(root)
    dense = load_classifier(folder.dense_teacher.path)
    data = GLUEDataModule(model_name_or_path=str(folder.dense_teacher.path), seed=settings.seed, **settings.data)
    problem, predicted = data.task.problem, dict[str, Tensor]()
    models = []
    for item in trained:
        place = folder.at(item.stage).model
        module = module_of(place.path, data)
        selection = evaluate(module, data, settings, "selection")
        predicted[place.name], selection_labels = problem.predictions(selection.logits), selection.labels
        counted = size(module.classifier, dense)
        models.append(
            Model(
                name=item.name,
                folder=place.name,
                asked=_asked(item, settings),
                seed=item.seed,
                teacher_sparsity=item.teacher_sparsity,
                lam=item.lam,
                baseline=item.baseline,
                seconds=manifest.stages[item.stage].seconds,
                teacher_folder=item.teacher,
                selection=selection.values,
                parameters=counted.parameters,
                encoder_parameters=counted.encoder_parameters,
                achieved=counted.achieved,
                teacher_achieved=None
                if item.teacher is None
                else size(load_classifier(root / item.teacher), dense).achieved,
                dev={},  # filled after the choice, below
            )
        )
        gc.collect()
    best_of_seeds = best_by_method(models, settings.baselines)
    students = eligible(models, fixed=settings.search.mode == "none")
    metric = problem.score_function(data.score_metrics)
    best = choose(students, predicted, selection_labels, metric)
    logits: dict[str, Tensor] = {}
    measured = []
    for model in models:
        module = module_of(folder.at(model.folder).path, data)
        evaluation = evaluate(module, data, settings, "dev")
        measured.append(replace(model, dev=evaluation.values))
        logits[model.folder], labels = evaluation.logits, evaluation.labels
        gc.collect()
    write_tensors(folder.dev_logits.path, {**logits, "labels": labels})
    said = {name: problem.predictions(values) for name, values in logits.items()}
    alarms = run_alarms(
        measured,
        students,
        best,
        Answers(selection_labels, predicted),
        Answers(labels, said),
        problem,
        metric,
        given=settings.finetuning.epochs == 0,
    )
    return Summary(
        task=data.task.name,
        metric=SCORE,
        seed=settings.seed,
        search=settings.search.mode,
        models=measured,
        best=next(model for model in measured if model.folder == best.folder),
        best_by_method=best_of_seeds,
        comparisons=compare(best_of_seeds, logits, labels, problem, data.score_metrics),
        selection_rows=len(selection_labels),
        alarms=alarms,
        score_metrics=data.score_metrics,
        classes=class_scores(said[best.folder], said[models[0].folder], labels, problem),
    )


def _asked(item: Trained, settings: RunSettings) -> Asked:
    if item.stage == RunFolder(settings.folder).finetune.name:
        return Asked(sparsity=0.0, layers=None)
    return Asked(settings.student.sparsity, settings.student.layers)
