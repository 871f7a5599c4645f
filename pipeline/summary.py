"""The end of a run: every model measured, the best chosen on the selection part, then dev."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamodules import GLUEDataModule
from lightning_modules import FinetuningModule, load_classifier
from pipeline.candidates import Candidate
from pipeline.manifest import Manifest
from pipeline.measure import evaluate, size
from pipeline.settings import RunSettings

__all__ = ["read_summary", "summarize"]

_SCHEMA = 2


def summarize(settings: RunSettings, manifest: Manifest, distilled: Sequence[Candidate]) -> dict[str, Any]:
    """Measure every model, choose on the selection part, then read dev.

    Args:
        settings: Of the run.
        manifest: Of the run, for the seconds of its stages.
        distilled: The sparse teachers with a student.

    Returns:
        The content of ``summary.json``.
    """
    root = settings.folder
    asked = {"sparsity": settings.student.sparsity, "layers": settings.student.layers}
    models = [
        _model("dense teacher", "finetune/model", manifest, {"sparsity": 0.0, "layers": None}),
        _model("student, not distilled", "prune/model", manifest, asked),
        _model("student of dense teacher", "trial/model", manifest, asked, teacher_sparsity=0.0),
    ]
    for candidate in distilled:
        folder = f"distill/{candidate.name}/model"
        model = _model("student of sparse teacher", folder, manifest, asked, candidate.sparsity, candidate.lam)
        models.append({**model, "teacher_folder": f"sparsify/{candidate.name}"})
    dense = load_classifier(root / "finetune/model")
    data = GLUEDataModule(model_name_or_path=str(root / "finetune/model"), seed=settings.seed, **settings.data)
    for model in models:
        module = FinetuningModule(str(root / model["folder"]), data.label_names, data.metrics)
        model["selection"] = evaluate(module, data, settings, "selection")
        model.update(size(module.classifier, dense))
        if "teacher_folder" in model:
            model["teacher_achieved"] = size(load_classifier(root / model["teacher_folder"]), dense)["achieved"]
        gc.collect()
    students = [model for model in models if model["teacher_sparsity"] is not None]
    # Ties go to the denser teacher, which comes first. Without a search it is the student of the only candidate.
    best = students[-1] if settings.search.mode == "none" else max(students, key=_selection_score)
    for model in models:
        module = FinetuningModule(str(root / model["folder"]), data.label_names, data.metrics)
        model["dev"] = evaluate(module, data, settings, "dev")
        gc.collect()
    return {
        "schema": _SCHEMA,
        "task": settings.data["task"],
        "metric": "score",
        "seed": settings.seed,
        "search": settings.search.mode,
        "models": models,
        "best": best,
    }


def _model(
    name: str,
    folder: str,
    manifest: Manifest,
    asked: dict[str, Any],
    teacher_sparsity: float | None = None,
    lam: float | None = None,
) -> dict[str, Any]:
    seconds = manifest.stages[folder.removesuffix("/model")].seconds
    teacher = {"teacher_sparsity": teacher_sparsity, "lam": lam}
    return {"name": name, "folder": folder, "asked": asked, **teacher, "seconds": seconds}


def _selection_score(model: dict[str, Any]) -> float:
    score: float = model["selection"]["score"]
    return score


def read_summary(root: Path) -> dict[str, Any]:
    """Read what :func:`summarize` gave.

    Args:
        root: The run's folder.

    Returns:
        The content of its ``summary.json``.
    """
    summary: dict[str, Any] = json.loads((root / "summary.json").read_text())
    return summary
