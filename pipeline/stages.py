"""The stages of the method: folders in, a folder out.

A fit is described by a YAML of its own (``stage.yaml``), so that `stark fit --config STAGE/stage.yaml` does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.accelerators import CUDAAccelerator
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from callbacks.pruning import log_pruning
from callbacks.scoring import scoring_batches
from datamodules import GLUEDataModule
from lightning_modules.checkpoints import latest_checkpoint
from pipeline.belongings import remove_own
from pipeline.candidates import Candidate
from pipeline.elsewhere import fit_elsewhere
from pipeline.isolation import stark_command
from pipeline.lightning_cli import StarkCLI
from pipeline.loggers import log_figures, logger_configs, logging_ends
from pipeline.plugins import plugin_copies
from pipeline.search import HeldOut, Prediction, cross_fit, folds, predict
from pipeline.settings import FitSettings, RunSettings
from stark.encoders.cutting import shrink_
from stark.encoders.layer_dropping import drop_layers
from stark.encoders.layers import encoder_layers, kept_units
from stark.forward.classifying import Batch
from stark.model_folders.model_folder import load_classifier, load_tokenizer, save_classifier
from stark.problems.metrics import score_function
from stark.pruning import prune
from stark.scores import rankings
from stark.scores.expressiveness import EXPRESSIVENESS, expressiveness_loss
from stark.scores.friendliness import FRIENDLINESS, score_teacher
from stark.scores.rankings import Ranking
from stark.scores.scoring import score_units
from stark.scores.unit_scores import UnitScores
from stark.storage import write_text

__all__ = [
    "cut_assistant",
    "cut_student",
    "cut_teacher",
    "distill",
    "finetune",
    "predict_students",
    "score_baselines",
    "score_dense_teacher",
    "train_alone",
]


def finetune(
    settings: RunSettings,
    folder: Path,
    callbacks: Sequence[Callback],
    resume: bool = False,
    expected: Mapping[str, Any] | None = None,
) -> None:
    """Finetune the encoder: the dense teacher, ``folder/model``.

    Args:
        settings: Of the run.
        folder: The stage's.
        callbacks: Watch the fit.
        resume: Go on with what an interrupted one left.
        expected: Arguments of `ExpectedModel`; None trains what lies there.
    """
    fit = settings.finetuning
    arguments = {"model_name_or_path": settings.model_name_or_path, **fit.optimization()}
    extra = [] if expected is None else [{"class_path": "callbacks.ExpectedModel", "init_args": dict(expected)}]
    _fit(settings, folder, fit, "lightning_modules.FinetuningModule", arguments, callbacks, resume, extra)


def cut_student(settings: RunSettings, folder: Path, dense: Path) -> None:
    """Cut the student from the dense teacher: ``folder/model``, and the scores when units were removed.

    Args:
        settings: Of the run.
        folder: The stage's.
        dense: Model folder of the dense teacher.
    """
    model = load_classifier(dense)
    student = settings.student
    if student.layers is not None:
        model = drop_layers(model, student.layers, student.which)
    else:
        assert student.sparsity is not None  # StudentSettings checks it
        trainer = _scorer(settings)
        device = trainer.strategy.root_device
        scores = score_units(
            nn.Module.to(model, device),
            _batches(settings, dense, trainer),
            {EXPRESSIVENESS: expressiveness_loss},
            settings.scoring.reduction,
        )
        scores.save(folder / "student_scores.safetensors")
        before = kept_units(model)
        model = prune(model, scores, student.sparsity, student.round_to)
        log_pruning(before, kept_units(model), student.sparsity)
    _save(model, folder / "model", load_tokenizer(dense))
    _log(settings, folder, lambda figures: figures.mask_figures(folder / "model", dense))


def distill(
    settings: RunSettings,
    folder: Path,
    teacher: Path,
    student: Path,
    callbacks: Sequence[Callback],
    resume: bool = False,
    pause_after: int | None = None,
    restoring: Mapping[str, Any] | None = None,
) -> None:
    """Distil a teacher into a student that starts from its initial weights: ``folder/model``.

    Args:
        settings: Of the run.
        folder: The stage's.
        teacher: Model folder of the teacher, dense or sparse.
        student: Model folder of the initial student.
        callbacks: Watch the fit.
        resume: Go on with what an interrupted one left.
        pause_after: Train only so many epochs now; then there is no model folder yet.
        restoring: Arguments of `TeacherRestoring`, for a dense teacher that is masked.
    """
    fit = settings.distillation
    arguments = {
        "teacher": str(teacher),
        "student": str(student),
        **fit.optimization(),
        "temperature": fit.temperature,
        "distillation_weight": fit.distillation_weight,
    }
    extra: list[dict[str, Any]] = []
    if restoring is None:
        # One folder for all candidates and the trial, which is distilled again when only its settings change.
        place = {"folder": str(settings.folder / "teacher_outputs")}
        extra.append({"class_path": "callbacks.TeacherCache", "init_args": place})
    else:
        extra.append({"class_path": "callbacks.TeacherRestoring", "init_args": dict(restoring)})
    if pause_after is not None:
        extra.append({"class_path": "callbacks.Pause", "init_args": {"epochs": pause_after}})
    if settings.data["labelled_limit"] is not None:
        settings = replace(settings, data={**settings.data, "use_unlabelled": True})
    _fit(settings, folder, fit, "lightning_modules.DistillationModule", arguments, callbacks, resume, extra)


def score_dense_teacher(settings: RunSettings, folder: Path, teacher: Path, student: Path) -> None:
    """Score the dense teacher against the trial student: ``folder/teacher_scores.safetensors``.

    Args:
        settings: Of the run.
        folder: The stage's.
        teacher: Model folder of the dense teacher.
        student: Model folder of the trial student.
    """
    trainer = _scorer(settings)
    scores = score_teacher(
        *_on_device(trainer, teacher, student),
        _batches(settings, teacher, trainer),
        temperature=settings.distillation.temperature,
        weight=settings.distillation.distillation_weight,
        reduction=settings.scoring.reduction,
    )
    scores.save(folder / "teacher_scores.safetensors")
    _log(settings, folder, lambda figures: figures.score_figures(scores))


def predict_students(
    settings: RunSettings, candidates: Sequence[Candidate], dense: Path, trial: Path, scores: Path
) -> dict[Candidate, Prediction]:
    """Rank sparse teachers without training; see `predict`.

    Where the teacher's units were scored on the selection part, which ranks as well, both are cross-fitted.

    Args:
        settings: Of the run.
        candidates: The sparse teachers.
        dense: Model folder of the dense teacher.
        trial: Model folder of the trial student.
        scores: File of the dense teacher's scores.

    Returns:
        A prediction for each.
    """
    trainer, split, reduction = _scorer(settings), settings.scoring.split, settings.scoring.reduction
    teacher, student = _on_device(trainer, dense, trial)
    data = GLUEDataModule(model_name_or_path=str(dense), seed=settings.seed, **settings.data)
    data.prepare_data()
    data.setup("fit")
    batches = list(scoring_batches(data, "selection", reduction, trainer.strategy.root_device))
    if split == "selection" or (split, data.selection) == ("validation", "validation"):
        held_out = cross_fit(
            folds(batches),
            lambda fold: score_teacher(
                teacher,
                student,
                fold,
                temperature=settings.distillation.temperature,
                weight=settings.distillation.distillation_weight,
                reduction=reduction,
            ),
        )
    else:
        held_out = [HeldOut(UnitScores.load(scores, teacher, (EXPRESSIVENESS, FRIENDLINESS)), batches)]
    metric = score_function(data.metrics, len(data.label_names))
    return predict(candidates, settings.search, held_out, teacher, student, metric)


def score_baselines(settings: RunSettings, folder: Path, teacher: Path, student: Path) -> None:
    """Score the dense teacher for rankings that need scores of their own: ``folder/baseline_scores.safetensors``.

    Args:
        settings: Of the run.
        folder: The stage's.
        teacher: Model folder of the dense teacher.
        student: Model folder of the trial student.
    """
    trainer = _scorer(settings)
    scores = rankings.score_baselines(
        *_on_device(trainer, teacher, student),
        _batches(settings, teacher, trainer),
        temperature=settings.distillation.temperature,
        weight=settings.distillation.distillation_weight,
    )
    scores.save(folder / "baseline_scores.safetensors")


def cut_teacher(
    settings: RunSettings, folder: Path, dense: Path, scores: Path, ranking: float | Ranking, sparsity: float
) -> None:
    """Cut a sparse teacher from stored scores: a model folder.

    Args:
        settings: Of the run; its seed is that of the ranking ``random``.
        folder: The model folder to write.
        dense: Model folder of the dense teacher.
        scores: File of its scores, of the kind that the ranking needs.
        ranking: A lam, or the name of another ranking.
        sparsity: Fraction of its heads and neurons to remove.
    """
    model = load_classifier(dense)
    losses = rankings.SCORED if ranking in rankings.SCORED else (EXPRESSIVENESS, FRIENDLINESS)
    masks = rankings.ranked_masks(ranking, sparsity, UnitScores.load(scores, model, losses), model, settings.seed)
    _save(shrink_(model, *masks), folder, load_tokenizer(dense))
    _log(settings, folder, lambda figures: figures.mask_figures(folder, dense))


def cut_assistant(settings: RunSettings, folder: Path, dense: Path, scores: Path) -> None:
    """Cut a teacher-assistant, half-way between the dense teacher and the student: ``folder``.

    It loses half of what the student loses, by the same scores or of the same end.

    Source: Mirzadeh et al., 2020, "Improved Knowledge Distillation via Teacher Assistant".

    Args:
        settings: Of the run.
        folder: The model folder to write.
        dense: Model folder of the dense teacher.
        scores: File of the scores that the student was cut by; not read for layers.
    """
    model, student = load_classifier(dense), settings.student
    if student.layers is not None:
        layers = len(encoder_layers(model))
        model = drop_layers(model, (layers + student.layers + 1) // 2, student.which)
    else:
        assert student.sparsity is not None  # StudentSettings checks it
        model = prune(model, UnitScores.load(scores, model, [EXPRESSIVENESS]), student.sparsity / 2, student.round_to)
    _save(model, folder, load_tokenizer(dense))


def _save(model: PreTrainedModel, folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Save the model that a stage leaves, in the place of the one that it left earlier, be that damaged."""
    remove_own(folder)
    save_classifier(model, folder, tokenizer)


def train_alone(
    settings: RunSettings, folder: Path, student: Path, callbacks: Sequence[Callback], resume: bool = False
) -> None:
    """Train a student on the labels alone, as many steps as a distillation takes: ``folder/model``.

    Args:
        settings: Of the run.
        folder: The stage's.
        student: Model folder of the initial student.
        callbacks: Watch the fit.
        resume: Go on with what an interrupted one left.
    """
    fit: FitSettings = settings.distillation
    arguments = {"model_name_or_path": str(student), **fit.optimization()}
    if settings.data["labelled_limit"] is not None:
        # A distillation's epochs have the rows without a label as well.
        labelled, every = (_train_rows(settings, student, use_unlabelled) for use_unlabelled in (False, True))
        fit = replace(fit, epochs=max(1, round(fit.epochs * every / labelled)))
    _fit(settings, folder, fit, "lightning_modules.FinetuningModule", arguments, callbacks, resume)


def _train_rows(settings: RunSettings, tokenizer: Path, use_unlabelled: bool) -> int:
    data = GLUEDataModule(model_name_or_path=str(tokenizer), use_unlabelled=use_unlabelled, **settings.data)
    data.prepare_data()
    data.setup("fit")
    return len(data.train_dataloader().dataset)  # type: ignore[arg-type]  # it has a length


def _fit(
    settings: RunSettings,
    folder: Path,
    fit: FitSettings,
    module: str,
    arguments: dict[str, Any],
    callbacks: Sequence[Callback],
    resume: bool,
    extra: Sequence[dict[str, Any]] = (),
) -> None:
    """Run a fit, or go on with it where it was interrupted."""
    checkpoint = latest_checkpoint(folder / "checkpoints") if resume else None
    if checkpoint is None:
        remove_own(folder)  # it was interrupted before its first checkpoint, or has none that is intact
    else:
        remove_own(folder / "model")  # it was killed between saving it and the record of the stage
    config = folder / "stage.yaml"
    text = yaml.safe_dump(_fit_config(settings, folder, fit, module, arguments, extra), sort_keys=False)
    write_text(config, f"# stark fit --config {config}\n{text}")
    command = ["fit", "--config", str(config), *(["--ckpt_path", str(checkpoint)] if checkpoint is not None else [])]
    if settings.trainer.devices == 1 and not settings.is_shared:
        with logging_ends(settings):
            command_line = StarkCLI(command, callbacks)
        # The parser's classes know it to the end of the process; the trainer with all its tensors goes now.
        vars(command_line).clear()
    else:
        # With several devices Lightning starts its other processes by running the command again, so it must be that of
        # the fit alone. With several workers each fit has a process, and what it prints a file.
        log = folder / "output.log" if settings.is_shared else None
        gpus = (
            settings.trainer.devices if CUDAAccelerator.is_available() and settings.trainer.accelerator != "cpu" else 0
        )
        fit_elsewhere(stark_command(command), log, executor=settings.executor, workers=settings.workers, gpus=gpus)


def _fit_config(
    settings: RunSettings,
    folder: Path,
    fit: FitSettings,
    module: str,
    arguments: dict[str, Any],
    callbacks: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    trainer, loggers = settings.trainer, logger_configs(settings, folder)
    plugins = plugin_copies(settings.plugins, settings.folder)
    return {
        **({"plugins": [str(copy) for copy in plugins]} if plugins else {}),
        "seed_everything": settings.seed,
        "trainer": {
            "default_root_dir": str(folder),
            "accelerator": trainer.accelerator,
            "devices": trainer.devices,
            "precision": trainer.precision,
            "max_epochs": fit.epochs,
            "gradient_clip_val": trainer.gradient_clip_val,
            "accumulate_grad_batches": trainer.accumulate_grad_batches,
            "val_check_interval": trainer.val_check_interval,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            **({"logger": loggers} if loggers else {}),
            "callbacks+": [*callbacks, *([{"class_path": "callbacks.Compilation"}] if trainer.compile else [])],
        },
        "early_stopping": {"patience": fit.patience},
        "step_checkpoint": {"every_n_train_steps": trainer.checkpoint_every_n_steps},
        "model": {"class_path": module, "init_args": arguments},
        "data": settings.data,
    }


def _log(settings: RunSettings, folder: Path, draw: Callable[[Any], dict[str, Any]]) -> None:
    """Log pictures of a stage; only then is what draws them imported."""

    def drawn() -> dict[str, Any]:
        from pipeline import logged_figures

        return draw(logged_figures)

    log_figures(settings, folder, drawn)


def _scorer(settings: RunSettings) -> Trainer:
    """A trainer that only knows the device to score on."""
    return Trainer(
        accelerator=settings.trainer.accelerator,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _on_device(trainer: Trainer, teacher: Path, student: Path) -> tuple[PreTrainedModel, PreTrainedModel]:
    """A teacher and its student, to be asked on the trainer's device."""
    first, second = (load_classifier(folder) for folder in (teacher, student))
    device = trainer.strategy.root_device
    return nn.Module.to(first, device), nn.Module.to(second, device)


def _batches(settings: RunSettings, tokenizer: Path, trainer: Trainer) -> Iterable[Batch]:
    data = GLUEDataModule(model_name_or_path=str(tokenizer), seed=settings.seed, **settings.data)
    data.prepare_data()
    data.setup("fit")
    return scoring_batches(data, settings.scoring.split, settings.scoring.reduction, trainer.strategy.root_device)
