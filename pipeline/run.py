"""`stark run`: the whole method, stage after stage, from an encoder to the best small student."""

from __future__ import annotations

import gc
import json
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback

from datamodules import GLUEDataModule
from lightning_modules import encoder_layers, layers_to_keep, load_classifier
from pipeline import stages
from pipeline.display import Display, summary_table
from pipeline.manifest import Manifest
from pipeline.measure import evaluate, size
from pipeline.settings import RunSettings
from storage import copy_folder, write_json

__all__ = ["run"]

_SCHEMA = 1


def run(settings: RunSettings, config: str) -> dict[str, Any]:
    """Finetune, prune, distil on trial, score the teacher, and distil from each sparse teacher; choose the best.

    The trial student is the student of teacher sparsity 0. All candidates start from the same initial student and the
    same seed, so that they differ by their teacher alone. The best one by ``score`` on the selection part becomes
    ``student/``; GLUE's dev split is read once, at the end. The same command goes on with an interrupted run.

    Args:
        settings: Of the run.
        config: The same as YAML, kept in the run's folder.

    Returns:
        The content of ``summary.json``.

    Raises:
        FileExistsError: If the run's folder holds something else.
    """
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Evaluation sets are small and tokenised beforehand: workers would cost more than they give.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    _check(settings)
    root = settings.folder
    manifest, display = Manifest.open(root, config), Display()

    def do(name: str, work: Callable[[Sequence[Callback]], None]) -> None:
        if manifest.is_finished(name):
            display.skipped(name)
            return
        with display.stage(name) as progress:
            start = time.perf_counter()
            work([progress])
            manifest.finish(name, seconds=round(time.perf_counter() - start, 2))
        # A fit's trainer, modules and optimizer refer to each other and would stay until Python happens to notice.
        gc.collect()

    dense, initial, trial = root / "finetune/model", root / "prune/model", root / "trial/model"
    do("finetune", lambda watch: stages.finetune(settings, root / "finetune", watch))
    do("prune", lambda _: stages.cut_student(settings, root / "prune", dense))
    do("trial", lambda watch: stages.distill(settings, root / "trial", dense, initial, watch))
    do("sparsify", lambda _: stages.score_dense_teacher(settings, root / "sparsify", dense, trial))
    lam, scores = settings.teacher.lam, root / "sparsify/teacher_scores.safetensors"
    for sparsity in _candidates(settings):
        candidate = f"{lam:g}_{sparsity:g}"
        teacher = root / "sparsify" / candidate

        def work(
            watch: Sequence[Callback], teacher: Path = teacher, candidate: str = candidate, sparsity: float = sparsity
        ) -> None:
            stages.cut_teacher(teacher, dense, scores, lam, sparsity)
            stages.distill(settings, root / "distill" / candidate, teacher, initial, watch)

        do(f"distill/{candidate}", work)
    do("evaluate", lambda _: write_json(root / "summary.json", _summarize(settings, manifest)))
    do("student", lambda _: copy_folder(root / _read_summary(root)["best"]["folder"], root / "student"))
    summary = _read_summary(root)
    display.console.print(summary_table(summary))
    display.console.print(f"The best student is in {root / 'student'}, all numbers in {root / 'summary.json'}")
    return summary


def _check(settings: RunSettings) -> None:
    """Find what is wrong with data, model or student now, before anything is written.

    Raises:
        ValueError: If the run could not end well.
    """
    data = GLUEDataModule(model_name_or_path=settings.model_name_or_path, seed=settings.seed, **settings.data)
    for stage in ("fit", "test"):
        data.setup(stage)
    data.train_dataloader()
    # A new head is drawn from the random state, which the fits set anew.
    model = load_classifier(settings.model_name_or_path, label_names=data.label_names)
    if settings.student.layers is not None:
        layers_to_keep(len(encoder_layers(model)), settings.student.layers, settings.student.which)


def _candidates(settings: RunSettings) -> list[float]:
    """Teacher sparsities to distil from; that of 0 is the trial."""
    return sorted(sparsity for sparsity in settings.teacher.sparsities if sparsity > 0)


def _summarize(settings: RunSettings, manifest: Manifest) -> dict[str, Any]:
    """Measure every model, choose on the selection part, then read dev."""
    root = settings.folder
    lam, student = settings.teacher.lam, settings.student
    asked = {"sparsity": student.sparsity, "layers": student.layers}
    models: list[dict[str, Any]] = [
        _model("dense teacher", "finetune/model", manifest, {"sparsity": 0.0, "layers": None}),
        _model("student, not distilled", "prune/model", manifest, asked),
        _model("student of dense teacher", "trial/model", manifest, asked, teacher_sparsity=0.0),
    ]
    for sparsity in _candidates(settings):
        folder = f"distill/{lam:g}_{sparsity:g}/model"
        model = _model("student of sparse teacher", folder, manifest, asked, teacher_sparsity=sparsity)
        models.append({**model, "teacher_folder": f"sparsify/{lam:g}_{sparsity:g}"})
    dense = root / "finetune/model"
    for model in models:
        model["selection"] = evaluate(root / model["folder"], settings, "selection")
        model.update(size(root / model["folder"], dense))
        if "teacher_folder" in model:
            model["teacher_achieved"] = size(root / model["teacher_folder"], dense)["achieved"]
    # Ties go to the denser teacher, which comes first.
    best = max((model for model in models if model["teacher_sparsity"] is not None), key=_selection_score)
    for model in models:
        model["dev"] = evaluate(root / model["folder"], settings, "dev")
    return {
        "schema": _SCHEMA,
        "task": settings.data["task"],
        "metric": "score",
        "seed": settings.seed,
        "lam": lam,
        "models": models,
        "best": best,
    }


def _model(
    name: str, folder: str, manifest: Manifest, asked: dict[str, Any], teacher_sparsity: float | None = None
) -> dict[str, Any]:
    seconds = manifest.stages[folder.removesuffix("/model")]["seconds"]
    return {"name": name, "folder": folder, "asked": asked, "teacher_sparsity": teacher_sparsity, "seconds": seconds}


def _selection_score(model: dict[str, Any]) -> float:
    score: float = model["selection"]["score"]
    return score


def _read_summary(root: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((root / "summary.json").read_text())
    return summary
