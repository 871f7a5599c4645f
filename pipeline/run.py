"""`stark run`: the whole method, stage after stage, from an encoder to the best small student."""

from __future__ import annotations

import gc
import json
import logging
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback

from datamodules import GLUEDataModule
from lightning_modules import FinetuningModule, encoder_layers, layers_to_keep, load_classifier, model_digest
from pipeline import stages
from pipeline.display import Display, plan_table, summary_table
from pipeline.manifest import Manifest
from pipeline.measure import evaluate, size
from pipeline.plan import CONTENT, Stage, decide, plan, stages_from
from pipeline.settings import RunOptions, RunSettings
from storage import copy_folder, folder_lock, inside, remove_folder, write_json, write_text

__all__ = ["build_stages", "run"]

_SCHEMA = 1
# Seconds for a fit that lost its pipeline to notice it.
_PATIENCE = 30.0


def run(settings: RunSettings, config: str, options: RunOptions) -> None:
    """Finetune, prune, distil on trial, score the teacher, and distil from each sparse teacher; choose the best.

    The trial student is the student of teacher sparsity 0. All candidates start from the same initial student and the
    same seed, so that they differ by their teacher alone. The best one by ``score`` on the selection part becomes
    ``student/``; GLUE's dev split is read once, at the end.

    The same command goes on with an interrupted run. A stage is skipped when its settings and the content of all that
    goes into it are as they were, and what it left is intact; so a changed setting runs the stages again that depend on
    it, and no others.

    Args:
        settings: Of the run.
        config: The same as YAML, kept in the run's folder.
        options: Of this call: only show what would be done, or do a part of it again.

    Raises:
        FileExistsError: If the run's folder holds something else, or another process works in it.
        ValueError: If the manifest is damaged, or a setting cannot work.
    """
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Evaluation sets are small and tokenised beforehand: workers would cost more than they give.
    for message in (".*does not have many workers.*", ".*LeafSpec.* is deprecated"):
        warnings.filterwarnings("ignore", message=message)
    display, root = Display(), settings.folder
    data = _check(settings)
    if options.dry_run:
        manifest = _open(settings)
        todo = build_stages(settings, data, manifest)
        if options.start is not None:
            again = stages_from(options.start, todo)
            manifest.stages = {name: record for name, record in manifest.stages.items() if name not in again}
        display.console.print(plan_table(plan(todo, manifest)))
        return
    with folder_lock(root):
        manifest = _open(settings)
        todo = build_stages(settings, data, manifest)
        if options.start is not None:
            manifest.forget(stages_from(options.start, todo))
        manifest.write()
        write_text(root / "config.yaml", config)
        # Trainers, modules and optimizers refer to each other and would stay until Python happens to notice; so they
        # are looked for after each stage, among what is new, which takes no time.
        gc.freeze()
        for stage in todo:
            _do(stage, manifest, display)
    summary = _read_summary(root)
    display.console.print(summary_table(summary))
    display.console.print(f"The best student is in {root / 'student'}, all numbers in {root / 'summary.json'}")


def _open(settings: RunSettings) -> Manifest:
    """Read the manifest; the run of another task is no run to go on with."""
    manifest, here = Manifest.read(settings.folder), settings.data["task"]
    if "finetune" in manifest.stages and (there := manifest.stages["finetune"].settings.get("data.task")) != here:
        raise FileExistsError(f"{settings.folder} holds a run of task {there}, not {here}: choose another --name")
    return manifest


def _do(stage: Stage, manifest: Manifest, display: Display) -> None:
    """Run a stage, or go on with it, unless it is finished."""
    decision = decide(stage, manifest)
    if decision.action == "skip":
        display.skipped(stage.name)
        return
    resume = decision.action == "continue"
    if stage.is_fit:
        folder = manifest.folder / stage.name
        with folder_lock(folder, _PATIENCE):
            if not resume:
                # Before the record, or a crash in between would go on with checkpoints of other settings.
                remove_folder(folder)
    manifest.start(stage.name, stage.settings, {name: manifest.stages[name].result() for name in stage.needs})
    with display.stage(stage.name, decision.reason) as progress:
        start = time.perf_counter()
        stage.work([progress], resume)
        manifest.finish(stage.name, stage.outputs, time.perf_counter() - start)
    gc.collect()


def build_stages(settings: RunSettings, data: GLUEDataModule, manifest: Manifest) -> list[Stage]:
    """The stages of a run in their order, each with all that its result depends on.

    Args:
        settings: Of the run.
        data: Its data module, for the content of the data.
        manifest: Of the run; the last stages report what it knows.

    Returns:
        The stages.
    """
    root, lam, student = settings.folder, settings.teacher.lam, settings.student
    batches = {**settings.group("data"), "seed": settings.seed, **_content(data, settings.scoring.split)}
    fitting = {**batches, **settings.group("trainer")}
    scoring = {**batches, **settings.group("scoring"), "trainer.accelerator": settings.trainer.accelerator}
    distilling = {**fitting, **settings.group("distillation")}
    loss = {name: distilling[f"distillation.{name}"] for name in ("temperature", "distillation_weight")}
    dense, initial, trial = root / "finetune/model", root / "prune/model", root / "trial/model"
    scores = root / "sparsify/teacher_scores.safetensors"
    encoder = {f"{CONTENT}the encoder": model_digest(settings.model_name_or_path)}
    cut = {**settings.group("student"), **(scoring if student.sparsity is not None else {})}
    student_scores = ("prune/student_scores.safetensors",) if student.sparsity is not None else ()
    todo = [
        Stage(
            "finetune",
            (),
            {**fitting, **settings.group("finetuning"), **encoder},
            ("finetune/model",),
            lambda watch, resume: stages.finetune(settings, root / "finetune", watch, resume),
            is_fit=True,
        ),
        Stage(
            "prune",
            ("finetune",),
            cut,
            ("prune/model", *student_scores),
            lambda *_: stages.cut_student(settings, root / "prune", dense),
        ),
        Stage(
            "trial",
            ("finetune", "prune"),
            distilling,
            ("trial/model",),
            lambda watch, resume: stages.distill(settings, root / "trial", dense, initial, watch, resume),
            is_fit=True,
        ),
        Stage(
            "sparsify",
            ("finetune", "trial"),
            {**scoring, **{f"distillation.{name}": value for name, value in loss.items()}},
            ("sparsify/teacher_scores.safetensors",),
            lambda *_: stages.score_dense_teacher(settings, root / "sparsify", dense, trial),
        ),
    ]
    for sparsity in _candidates(settings):
        candidate = f"{lam:g}_{sparsity:g}"
        teacher, folder = root / "sparsify" / candidate, root / "distill" / candidate

        def sparsify(*_: object, teacher: Path = teacher, sparsity: float = sparsity) -> None:
            stages.cut_teacher(teacher, dense, scores, lam, sparsity)

        def distill(watch: Sequence[Callback], resume: bool, teacher: Path = teacher, folder: Path = folder) -> None:
            stages.distill(settings, folder, teacher, initial, watch, resume)

        asked = {"teacher.lam": lam, "sparsity": sparsity}
        todo += [
            Stage(f"sparsify/{candidate}", ("finetune", "sparsify"), asked, (f"sparsify/{candidate}",), sparsify),
            Stage(
                f"distill/{candidate}",
                (f"sparsify/{candidate}", "prune"),
                distilling,
                (f"distill/{candidate}/model",),
                distill,
                is_fit=True,
            ),
        ]
    measured = tuple(stage.name for stage in todo if stage.name != "sparsify")
    students = tuple(name for name in measured if name == "trial" or name.startswith("distill/"))
    reported = {**fitting, **settings.group("student"), "teacher.lam": lam, f"{CONTENT}dev": data.digest("dev")}
    todo += [
        Stage(
            "evaluate",
            measured,
            reported,
            ("summary.json",),
            lambda *_: write_json(root / "summary.json", _summarize(settings, manifest)),
        ),
        Stage(
            "student",
            ("evaluate", *students),
            {},
            ("student",),
            lambda *_: copy_folder(inside(root, _read_summary(root)["best"]["folder"]), root / "student"),
        ),
    ]
    return todo


def _content(data: GLUEDataModule, split: str) -> dict[str, str]:
    """Digests of the splits that training, selection and scoring read."""
    uses_dev = data.selection == "validation" or split == "validation"
    return {f"{CONTENT}{name}": data.digest(name) for name in ("train", *(("dev",) if uses_dev else ()))}


def _check(settings: RunSettings) -> GLUEDataModule:
    """Find what is wrong with data, model or student now, before anything is written; the data module.

    Raises:
        ValueError: If the run could not end well.
    """
    data = GLUEDataModule(model_name_or_path=settings.model_name_or_path, seed=settings.seed, **settings.data)
    for stage in ("fit", "test"):
        data.setup(stage)
    batches = -(-len(data.train_dataloader()) // settings.trainer.devices)
    if (settings.trainer.val_check_interval or 0) > batches:
        raise ValueError(
            f"trainer.val_check_interval is {settings.trainer.val_check_interval}, but an epoch has {batches} batches: "
            "choose fewer, or null to evaluate after each epoch"
        )
    # A new head is drawn from the random state, which the fits set anew.
    model = load_classifier(settings.model_name_or_path, label_names=data.label_names)
    if settings.student.layers is not None:
        layers_to_keep(len(encoder_layers(model)), settings.student.layers, settings.student.which)
    return data


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
    dense = load_classifier(root / "finetune/model")
    data = GLUEDataModule(model_name_or_path=str(root / "finetune/model"), seed=settings.seed, **settings.data)
    for model in models:
        module = FinetuningModule(str(root / model["folder"]), data.label_names, data.metrics)
        model["selection"] = evaluate(module, data, settings, "selection")
        model.update(size(module.classifier, dense))
        if "teacher_folder" in model:
            model["teacher_achieved"] = size(load_classifier(root / model["teacher_folder"]), dense)["achieved"]
        gc.collect()
    # Ties go to the denser teacher, which comes first.
    best = max((model for model in models if model["teacher_sparsity"] is not None), key=_selection_score)
    for model in models:
        module = FinetuningModule(str(root / model["folder"]), data.label_names, data.metrics)
        model["dev"] = evaluate(module, data, settings, "dev")
        gc.collect()
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
    seconds = manifest.stages[folder.removesuffix("/model")].seconds
    return {"name": name, "folder": folder, "asked": asked, "teacher_sparsity": teacher_sparsity, "seconds": seconds}


def _selection_score(model: dict[str, Any]) -> float:
    score: float = model["selection"]["score"]
    return score


def _read_summary(root: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((root / "summary.json").read_text())
    return summary
