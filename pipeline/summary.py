"""The end of a run: every model measured, the best chosen on the selection part, then dev."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules import GLUEDataModule
from lightning_modules import FinetuningModule, load_classifier
from pipeline.manifest import Manifest
from pipeline.measure import evaluate, size
from pipeline.settings import RunSettings

__all__ = ["Trained", "read_summary", "summarize"]

_SCHEMA = 2


@dataclass(frozen=True)
class Trained:
    """A model of a run that is to be measured.

    Args:
        name: For a person.
        stage: That left it, in its folder ``model``.
        teacher_sparsity: Of its teacher; None for a model without one.
        lam: Of its teacher's score, if that has one.
        teacher: Folder of its sparse teacher.
        baseline: Name of the baseline that it belongs to; it is never chosen.
    """

    name: str
    stage: str
    teacher_sparsity: float | None = None
    lam: float | None = None
    teacher: str | None = None
    baseline: str | None = None


def summarize(settings: RunSettings, manifest: Manifest, trained: Sequence[Trained]) -> dict[str, Any]:
    """Measure every model, choose on the selection part, then read dev.

    Args:
        settings: Of the run.
        manifest: Of the run, for the seconds of its stages.
        trained: The dense teacher, then all students; those of denser teachers first.

    Returns:
        The content of ``summary.json``.
    """
    root = settings.folder
    dense = load_classifier(root / trained[0].stage / "model")
    data = GLUEDataModule(
        model_name_or_path=str(root / trained[0].stage / "model"), seed=settings.seed, **settings.data
    )
    models = []
    for number, item in enumerate(trained):
        model = _entry(item, settings, manifest, is_dense=number == 0)
        module = FinetuningModule(str(root / model["folder"]), data.label_names, data.metrics)
        model["selection"] = evaluate(module, data, settings, "selection")
        model.update(size(module.classifier, dense))
        if item.teacher is not None:
            model["teacher_achieved"] = size(load_classifier(root / item.teacher), dense)["achieved"]
        models.append(model)
        gc.collect()
    students = [model for model in models if model["teacher_sparsity"] is not None and model["baseline"] is None]
    # Ties go to the denser teacher, which comes first. Without a search it is the student of the only candidate.
    best = students[-1] if settings.search.mode == "none" else max(students, key=_selection_score)
    baselines = {}
    for name in settings.baselines:
        # The dense teacher's student of the trial is one of the k.
        own = [model for model in models if model["baseline"] == name]
        tried = [*students[:1], *own] if name == "dense_teacher_best_of_k" else own
        baselines[name] = max(tried, key=_selection_score)["folder"]
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
        "baselines": baselines,
    }


def _entry(item: Trained, settings: RunSettings, manifest: Manifest, *, is_dense: bool) -> dict[str, Any]:
    student = settings.student
    asked = {"sparsity": 0.0, "layers": None} if is_dense else {"sparsity": student.sparsity, "layers": student.layers}
    entry = {
        "name": item.name,
        "folder": f"{item.stage}/model",
        "asked": asked,
        "teacher_sparsity": item.teacher_sparsity,
        "lam": item.lam,
        "baseline": item.baseline,
        "seconds": manifest.stages[item.stage].seconds,
    }
    return entry if item.teacher is None else {**entry, "teacher_folder": item.teacher}


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
