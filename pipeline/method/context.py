"""What the stages of a run share: the places of files, and the settings on which results depend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

from pytorch_lightning import Callback

from callbacks.expected_model import loaded_digest
from datamodules import GLUEDataModule
from datamodules.sources.answers import ANSWERS, digest_of_answers
from pipeline.execution.stage import CONTENT, Stage
from pipeline.run_folder import Place, RunFolder
from pipeline.search.candidates import Candidate, RankedTeacher
from pipeline.settings import RunSettings
from pipeline.stages import distil, sparsify
from pipeline.stages.ranking import extra_parts
from stark.errors import StarkError
from stark.model_folders.model_folder import load_classifier, load_tokenizer, model_digest

__all__ = ["LOSS_SETTINGS", "RunContext"]

LOSS_SETTINGS = ("distillation.loss", "distillation.temperature", "distillation.distillation_weight")
"""Settings of the loss of distillation."""


class RunContext:
    """Places, groups of settings by their full names, and the two stages that every sparse teacher has.

    Args:
        settings: Settings of the run, or of its repetition with another seed.
        data: The run's data module, for the content of the data.
        is_repetition: Whether the settings are those of a repetition. Its stages have separate places, from the trial
            on.

    Attributes:
        settings: Settings of the run or the repetition.
        folder: Places of the run or the repetition.
        plugins: Digests of the plugins' content.
        fitting: Settings and content that every fit depends on.
        refitting: Settings and content that every refitting depends on.
        scoring: Settings and content that every scoring depends on.
        alternatives: Settings and content that the simple alternatives depend on, besides the encoder.
        distilling: Settings and content that every distillation depends on.
        friendliness: Settings and content that a scoring against the trial student depends on.
        grid: Settings that define the candidates.
    """

    def __init__(self, settings: RunSettings, data: GLUEDataModule, *, is_repetition: bool = False) -> None:
        """Collect the settings."""
        self.settings = settings
        self.folder = RunFolder(settings.folder, settings.seed if is_repetition else None)
        batches = {**settings.group("data"), "seed": settings.seed, **_content(data, settings.scoring.split)}
        self.plugins = {f"{CONTENT}{plugin.path.name}": plugin.digest for plugin in settings.plugins}
        batches |= self.plugins
        self.fitting: dict[str, Any] = {**batches, **settings.group("trainer")}
        accelerator = {"trainer.accelerator": settings.trainer.accelerator}
        self.refitting: dict[str, Any] = {**batches, **accelerator}
        self.scoring: dict[str, Any] = {**self.refitting, **settings.group("scoring")}
        self.alternatives: dict[str, Any] = {**batches, **accelerator}
        self.alternatives["finetuning.class_weights"] = settings.finetuning.class_weights
        self.distilling: dict[str, Any] = {**self.fitting, **settings.group("distillation"), **_unlabelled(data)}
        self.distilling["student.cuts"] = settings.student.cuts
        if settings.student.is_gradual:
            self.distilling |= {**settings.group("student"), **settings.group("scoring")}
        if settings.distillation.teacher_answers is not None:
            self.distilling[f"{CONTENT}{ANSWERS}"] = digest_of_answers(settings.distillation.teacher_answers)
        self.friendliness = {**self.scoring, **{name: self.distilling[name] for name in LOSS_SETTINGS}}
        self.friendliness["distillation.class_weights"] = settings.distillation.class_weights
        if settings.scoring.use_unlabelled:
            self.friendliness |= _unlabelled(data)
        self.friendliness["teacher.score"] = settings.teacher.score
        self.grid = {f"teacher.{name}": value for name, value in asdict(settings.teacher).items()}
        self._data = data

    @property
    def cutting_student(self) -> dict[str, Any]:
        """Settings and content that every scoring of a student depends on."""
        return {**self.scoring, "finetuning.class_weights": self.settings.finetuning.class_weights}

    @property
    def factorising(self) -> dict[str, Any]:
        """Settings and content that the factors of a student's embeddings depend on; empty if they stay whole."""
        return {} if self.settings.student.embedding_rank is None else {**self.refitting, **_unlabelled(self._data)}

    @property
    def before_student(self) -> Place:
        """Model folder of the model that the student is cut from: the last one of the path, or the dense teacher."""
        path = self.settings.student.path
        return self.folder.on_path(path[-1]).model if path else self.folder.dense_teacher

    @property
    def teacher(self) -> Place:
        """Model folder of the teacher of the trial."""
        return self.before_student if self.settings.student.path_teaches else self.folder.dense_teacher

    @property
    def path_teaches(self) -> dict[str, bool]:
        """The setting that decides about the teacher of the trial."""
        return {"student.path_teaches": self.settings.student.path_teaches}

    @property
    def path_needs(self) -> list[str]:
        """Name of the stage that trains the teacher of the trial, if that is not the dense teacher."""
        student = self.settings.student
        return [self.folder.on_path(student.path[-1]).name] if student.path_teaches else []

    @property
    def start_stage(self) -> Place:
        """The stage that makes the model from which each distillation starts."""
        return self.folder.finetune if self.settings.student.is_gradual else self.folder.prune

    @property
    def start(self) -> Place:
        """The model from which each distillation starts: the cut student, or the uncut one that is cut on the way."""
        return self.start_stage.model

    @cached_property
    def encoder(self) -> dict[str, str]:
        """Digest of the encoder's content. Computing it reads all of the encoder's files."""
        return {f"{CONTENT}the encoder": model_digest(self.settings.model_name_or_path)}

    @cached_property
    def dev(self) -> dict[str, str]:
        """Digest of dev's content."""
        return {f"{CONTENT}dev": self._data.digest("dev")}

    def expected_encoder(self) -> dict[str, Any]:
        """The encoder that the finetuning must load; its files may change between the plan and the fit.

        Returns:
            Arguments of `ExpectedModel`.

        Raises:
            StarkError: If the files have changed since they were hashed.
        """
        path, names = self.settings.model_name_or_path, self._data.label_names
        try:
            model, with_head = load_classifier(path, label_names=names, kind=self._data.kind, new_head=False), True
        except StarkError:
            model, with_head = load_classifier(path, label_names=names, kind=self._data.kind), False
        digest = loaded_digest(model, load_tokenizer(path), with_head=with_head)
        if model_digest(path) != self.encoder[f"{CONTENT}the encoder"]:
            raise StarkError(f"{path} changed while the run was working: give the same command again")
        return {"digest": digest, "with_head": with_head}

    def cut(self, teacher: Candidate | RankedTeacher) -> Stage:
        """The stage that cuts a sparse teacher.

        Args:
            teacher: A sparse teacher of the method or of a baseline.

        Returns:
            The stage.
        """
        folder, place = self.folder, self.folder.sparse_teacher(teacher.name)
        own = isinstance(teacher, RankedTeacher) and teacher.ranking in extra_parts(self.settings)
        scores = folder.baseline_scores if own else folder.teacher_scores
        return Stage(
            place.name,
            (folder.finetune.name, (folder.score_baselines if own else folder.sparsify).name),
            self.cutting(teacher),
            (place.name,),
            lambda *_: sparsify.cut_teacher(self.settings, place.path, folder.dense_teacher.path, scores.path, teacher),
        )

    def cutting(self, teacher: Candidate | RankedTeacher) -> dict[str, Any]:
        """The settings on which the units of a sparse teacher depend, in addition to the scores.

        Args:
            teacher: A sparse teacher of the method or of a baseline.

        Returns:
            The settings.
        """
        found: dict[str, Any] = {"sparsity": teacher.sparsity, **self.plugins}
        found["teacher.budget"] = self.settings.teacher.budget
        found["teacher.refit"] = self.settings.teacher.refit
        if self.settings.teacher.refit:
            found |= self.refitting
        if isinstance(teacher, RankedTeacher):
            seed = {"seed": self.settings.seed} if teacher.ranking == "random" else {}
            return {**found, "ranking": teacher.ranking, **seed}
        return {**found, "lam": teacher.lam, "teacher.score": self.settings.teacher.score}

    def distillation(self, teacher: Candidate | RankedTeacher) -> Stage:
        """The stage that distils from a sparse teacher.

        Args:
            teacher: A sparse teacher of the method or of a baseline.

        Returns:
            The stage.
        """
        place = self.folder.distillation(teacher.name)
        return Stage(
            place.name,
            (self.folder.sparse_teacher(teacher.name).name, self.start_stage.name),
            self.distilling,
            (place.model.name,),
            lambda watch, resume: self.distil(teacher, watch, resume),
            is_fit=True,
        )

    def distil(
        self,
        teacher: Candidate | RankedTeacher,
        watch: Sequence[Callback],
        resume: bool,
        pause_after: int | None = None,
    ) -> None:
        """Distil from a sparse teacher, for all epochs or for a part of them.

        Args:
            teacher: A sparse teacher of the method or of a baseline.
            watch: Callbacks that watch the fit.
            resume: Whether to continue an interrupted or paused fit from its latest checkpoint.
            pause_after: Number of epochs after which the fit pauses; None for a whole fit.
        """
        folder = self.folder
        distil.distill(
            self.settings,
            folder.distillation(teacher.name).path,
            folder.sparse_teacher(teacher.name).path,
            self.start.path,
            watch,
            resume,
            pause_after,
        )


def _content(data: GLUEDataModule, split: str) -> dict[str, str]:
    """Digests of the splits that training, selection and scoring read."""
    uses_dev = data.selection == "validation" or split == "validation"
    return {f"{CONTENT}{name}": data.digest(name) for name in ("train", *(("dev",) if uses_dev else ()))}


def _unlabelled(data: GLUEDataModule) -> dict[str, Any]:
    """What decides about the rows without labels; the rows of dev and test are left out of them."""
    names = ("unlabelled_ratio", "changed_rows", "changes")
    given = {f"data.{name}": value for name in names if (value := getattr(data, name)) is not None}
    contents = data.contents() if data.adds_rows else {}
    return {**given, **{f"{CONTENT}{name}": digest for name, digest in contents.items() if name != "train"}}
