"""The stage that evaluates all models."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from datamodules import GLUEDataModule
from lightning_modules import FinetuningModule
from pipeline.execution.manifest import Manifest
from pipeline.results.comparison import SPARSE, best_by_method, compare
from pipeline.results.measure import evaluate, size
from pipeline.results.summary import SCHEMA, Trained
from pipeline.run_folder import RunFolder
from pipeline.settings import RunSettings
from stark.model_folders.model_folder import load_classifier
from stark.problems.metrics import score_function
from stark.storage import write_tensors

__all__ = ["summarize"]


def summarize(settings: RunSettings, manifest: Manifest, trained: Sequence[Trained]) -> dict[str, Any]:
    """Measure every model, choose on the selection part, then read dev; writes ``dev_logits.safetensors``.

    Args:
        settings: Of the run.
        manifest: Of the run, for the seconds of its stages.
        trained: The dense teacher, then all students; those of denser teachers first.

    Returns:
        The content of ``summary.json``.
    """
    root = settings.folder
    folder = RunFolder(root)
    dense = load_classifier(folder.dense_teacher.path)
    data = GLUEDataModule(model_name_or_path=str(folder.dense_teacher.path), seed=settings.seed, **settings.data)
    models = []
    for item in trained:
        model = _entry(item, settings, manifest)
        module = FinetuningModule(str(root / model["folder"]), data.label_names, data.metrics)
        model["selection"] = evaluate(module, data, settings, "selection").values
        model.update(size(module.classifier, dense))
        if item.teacher is not None:
            model["teacher_achieved"] = size(load_classifier(root / item.teacher), dense)["achieved"]
        models.append(model)
        gc.collect()
    best_of_seeds = best_by_method(models, settings.baselines)
    # Ties go to the denser teacher, which comes first. Without a search it is the student of the only candidate.
    fixed = settings.search.mode == "none" and SPARSE in best_of_seeds[0]
    eligible = [model for model in models if model["seed"] is not None and model["baseline"] is None]
    if fixed:
        eligible = [model for model in eligible if model["teacher_sparsity"]]
    best = max(eligible, key=lambda model: float(model["selection"]["score"]))
    logits: dict[str, Tensor] = {}
    for model in models:
        module = FinetuningModule(str(root / model["folder"]), data.label_names, data.metrics)
        evaluation = evaluate(module, data, settings, "dev")
        model["dev"], logits[model["folder"]], labels = evaluation.values, evaluation.logits, evaluation.labels
        gc.collect()
    write_tensors(folder.dev_logits.path, {**logits, "labels": labels})
    score = score_function(data.metrics, len(data.label_names))
    return {
        "schema": SCHEMA,
        "task": data.task.name,
        "metric": "score",
        "seed": settings.seed,
        "search": settings.search.mode,
        "models": models,
        "best": best,
        "best_by_method": best_of_seeds,
        "comparisons": compare(best_of_seeds, logits, labels, score),
    }


def _entry(item: Trained, settings: RunSettings, manifest: Manifest) -> dict[str, Any]:
    student = settings.student
    folder = RunFolder(settings.folder)
    is_student = item.stage != folder.finetune.name
    asked = {"sparsity": student.sparsity if is_student else 0.0, "layers": student.layers if is_student else None}
    entry = {
        "name": item.name,
        "folder": folder.at(item.stage).model.name,
        "asked": asked,
        "seed": item.seed,
        "teacher_sparsity": item.teacher_sparsity,
        "lam": item.lam,
        "baseline": item.baseline,
        "seconds": manifest.stages[item.stage].seconds,
    }
    return entry if item.teacher is None else {**entry, "teacher_folder": item.teacher}
