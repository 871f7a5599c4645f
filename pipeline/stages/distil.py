"""Stages that train a student, by distillation or on the labels alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback

from datamodules import GLUEDataModule
from pipeline.parsing.objects import plain
from pipeline.run_folder import LOSS_WEIGHTS, RunFolder
from pipeline.settings import FitSettings, RunSettings
from pipeline.stages.fit import run_fit
from pipeline.stages.ranking import score_without_teacher
from stark.storage import write_tensors

__all__ = ["distill", "train_alone"]


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
    """Distil a teacher into a student that starts from its initial weights, and write ``folder/model``.

    Args:
        settings: The run's settings.
        folder: Folder of the stage.
        teacher: Model folder of the teacher, dense or sparse.
        student: Model folder of the initial student; it is cut in the fit if there are several cuts.
        callbacks: Callbacks that watch the fit.
        resume: Whether to continue an interrupted fit from its latest checkpoint.
        pause_after: Number of epochs after which the fit pauses, without a model folder; None for a whole fit.
        restoring: Arguments of `TeacherRestoring`, for a dense teacher that is masked; None for any other teacher.
    """
    fit = settings.distillation
    arguments = {
        "teacher": str(teacher),
        "student": str(student),
        **fit.training(),
        "loss": fit.loss_config(),
    }
    extra = _gradual(settings)
    if restoring is None:
        # All candidates and the trial share one folder outside of their own ones. It is kept if a distillation runs
        # again with other settings.
        place = {"folder": str(RunFolder(settings.folder).teacher_outputs)}
        extra.append({"class_path": "callbacks.TeacherCache", "init_args": place})
    else:
        extra.append({"class_path": "callbacks.TeacherRestoring", "init_args": dict(restoring)})
    if fit.teacher_answers is not None:
        extra.append({"class_path": "callbacks.TeacherAnswers", "init_args": {"files": fit.teacher_answers}})
    if pause_after is not None:
        extra.append({"class_path": "callbacks.Pause", "init_args": {"epochs": pause_after}})
    settings = replace(settings, data={**settings.data, "use_unlabelled": True})
    run_fit(settings, folder, fit, "lightning_modules.DistillationModule", arguments, callbacks, resume, extra)
    if pause_after is None and fit.loss is not None and not (folder / LOSS_WEIGHTS).is_file():
        write_tensors(folder / LOSS_WEIGHTS, {})  # it has no parameters, but scoring reads the file


def train_alone(
    settings: RunSettings, folder: Path, student: Path, callbacks: Sequence[Callback], resume: bool = False
) -> None:
    """Train a student on the labels alone, for as many steps as a distillation, and write ``folder/model``.

    Args:
        settings: The run's settings.
        folder: Folder of the stage.
        student: Model folder of the initial student.
        callbacks: Callbacks that watch the fit.
        resume: Whether to continue an interrupted fit from its latest checkpoint.
    """
    fit: FitSettings = settings.distillation
    arguments = {"model_name_or_path": str(student), **fit.training()}
    if fit.steps is None:
        # The epochs of a distillation also contain the unlabelled rows, so that they may have more steps.
        labelled, every = (_batches(settings, student, use_unlabelled) for use_unlabelled in (False, True))
        fit = replace(fit, epochs=max(1, round(fit.epochs * every / labelled)))
    extra = _gradual(settings, has_teacher=False)
    run_fit(settings, folder, fit, "lightning_modules.FinetuningModule", arguments, callbacks, resume, extra)


def _gradual(settings: RunSettings, *, has_teacher: bool = True) -> list[dict[str, Any]]:
    """The callback that cuts the student, if it is not cut before."""
    student = settings.student
    if not student.is_gradual:
        return []
    arguments: dict[str, Any] = {"sparsity": student.sparsity, "cuts": student.cuts, "fraction": student.cuts_end}
    arguments |= {name: getattr(settings.scoring, name) for name in ("split", "reduction")}
    arguments |= {name: getattr(student, name) for name in ("round_to", "score", "budget", "refit")}
    if not has_teacher:
        arguments["score"] = score_without_teacher(settings)
    return [{"class_path": "callbacks.GradualPruning", "init_args": plain(arguments)}]


def _batches(settings: RunSettings, tokenizer: Path, use_unlabelled: bool) -> int:
    """Number of batches of an epoch."""
    data = GLUEDataModule(model_name_or_path=str(tokenizer), use_unlabelled=use_unlabelled, **settings.data)
    data.prepare_data()
    data.setup("fit")
    return len(data.train_dataloader())
