"""The stage that evaluates all models."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from datamodules import GLUEDataModule
from pipeline.alternatives.features import Texts
from pipeline.alternatives.table import ALTERNATIVES, open_alternative
from pipeline.execution.manifest import Manifest
from pipeline.results.alarms import Answers, run_alarms, truncation_alarms
from pipeline.results.choice import choose, eligible
from pipeline.results.classes import class_scores
from pipeline.results.comparison import best_by_method, compare, counterparts, points_over
from pipeline.results.measure import evaluate, metric_values, module_of, size
from pipeline.results.statistics import Metric
from pipeline.results.summary import SCORE, Alternative, Asked, Model, Summary, Trained
from pipeline.run_folder import RunFolder
from pipeline.settings import RunSettings
from stark.model_folders.model_folder import load_classifier
from stark.storage import files_below, write_tensors

__all__ = ["summarize"]


def summarize(
    settings: RunSettings, manifest: Manifest, trained: Sequence[Trained], *, simple: bool = False
) -> Summary:
    """Evaluate every model on the selection split, choose the best, and only then evaluate on dev.

    Writes ``dev_logits.safetensors``.

    Args:
        settings: The run's settings.
        manifest: The run's manifest, which contains the duration of each stage in seconds.
        trained: The dense teacher, then all students, students of denser teachers first.
        simple: Whether the simple alternatives were trained.

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
        predicted[place.name], selection_labels = selection.said, selection.labels
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
    logits, said = dict[str, Tensor](), dict[str, Tensor]()
    measured = []
    for model in models:
        module = module_of(folder.at(model.folder).path, data)
        evaluation = evaluate(module, data, settings, "dev")
        measured.append(replace(model, dev=evaluation.values))
        logits[model.folder], said[model.folder], labels = evaluation.logits, evaluation.said, evaluation.labels
        gc.collect()
    teacher = said[models[0].folder][None]
    student = torch.stack([said[name] for name in counterparts(best_of_seeds, best.folder).values()])
    alternatives, answers = _alternatives(folder, data, teacher, student, metric) if simple else (None, {})
    write_tensors(folder.dev_logits.path, {**logits, **answers, "labels": labels})
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
        comparisons=compare(best_of_seeds, said, labels, problem, data.score_metrics),
        selection_rows=len(selection_labels),
        alarms=[*alarms, *truncation_alarms(data.truncation("dev"), data.max_length)],
        score_metrics=data.score_metrics,
        classes=class_scores(said[best.folder], said[models[0].folder], labels, problem),
        over_teacher=points_over(teacher, student, labels, metric, same_seeds=True),
        alternatives=alternatives,
    )


def _alternatives(
    folder: RunFolder, data: GLUEDataModule, teacher: Tensor, student: Tensor, metric: Metric
) -> tuple[list[Alternative], dict[str, Tensor]]:
    """Evaluate the simple alternatives; also returns their predictions for dev, by folder."""
    found, answers = [], {}
    parts = {name: data.labelled_texts(name) for name in ("selection", "dev")}
    labels = {name: torch.tensor(rows.labels, dtype=data.task.problem.label_dtype) for name, rows in parts.items()}
    for name, (title, _) in ALTERNATIVES.items():
        place = folder.alternatives / name
        alternative = open_alternative(place.path)
        said = {part: torch.from_numpy(alternative(Texts(rows.text_a, rows.text_b))) for part, rows in parts.items()}
        values = {part: metric_values(said[part], labels[part], data) for part in parts}
        answers[place.name] = said["dev"]
        others = [
            points_over(other, said["dev"][None], labels["dev"], metric, same_seeds=True)
            for other in (teacher, student)
        ]
        found.append(
            Alternative(
                name=title,
                folder=place.name,
                rows=alternative.rows,
                strength=alternative.strength,
                megabytes=sum(file.stat().st_size for file in files_below(place.path)) / 1e6,
                selection=values["selection"],
                dev=values["dev"],
                over_teacher=others[0],
                over_student=others[1],
            )
        )
    return found, answers


def _asked(item: Trained, settings: RunSettings) -> Asked:
    if item.stage == RunFolder(settings.folder).finetune.name:
        return Asked(sparsity=0.0, layers=None)
    return Asked(settings.student.sparsity, settings.student.layers)
