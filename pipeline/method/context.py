"""What the stages of a run share: where things lie, and on which settings results depend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

from pytorch_lightning import Callback

from callbacks.expected_model import loaded_digest
from datamodules import GLUEDataModule
from pipeline.execution.plan import CONTENT, Stage
from pipeline.search.candidates import Candidate, RankedTeacher
from pipeline.settings import RunSettings
from pipeline.stages import distil, sparsify
from stark.errors import StarkError
from stark.model_folders.model_folder import load_classifier, load_tokenizer, model_digest
from stark.scores.rankings import SCORED

__all__ = ["RunContext"]


class RunContext:
    """Places, groups of settings by their full names, and the two stages that every sparse teacher has.

    Args:
        settings: Of the run, or of its repetition with another seed.
        data: Its data module, for the content of the data.
        prefix: Of the stages from the trial on, and of their folders, such as ``seed_1/``.

    Attributes:
        settings: Of the run.
        root: Folder of the run.
        dense: Model folder of the dense teacher.
        initial: Model folder of the student before it is distilled.
        trial: Model folder of the dense teacher's student.
        scores: File of the teacher's scores.
        baseline_scores: File of its scores for baselines.
        fitting: What every fit depends on.
        scoring: What every scoring depends on.
        distilling: What every distillation depends on.
        friendliness: What a scoring against the trial student depends on.
        grid: The candidates.
    """

    def __init__(self, settings: RunSettings, data: GLUEDataModule, prefix: str = "") -> None:
        """Gather them."""
        self.settings, self.root, self._prefix = settings, settings.folder, prefix
        self.dense, self.initial = self.root / "finetune/model", self.root / "prune/model"
        self.trial = self.root / self.name("trial/model")
        self.scores = self.root / self.name("sparsify/teacher_scores.safetensors")
        self.baseline_scores = self.root / self.name("sparsify/baseline_scores.safetensors")
        batches = {**settings.group("data"), "seed": settings.seed, **_content(data, settings.scoring.split)}
        batches |= {f"{CONTENT}{plugin.path.name}": plugin.digest for plugin in settings.plugins}
        self.fitting: dict[str, Any] = {**batches, **settings.group("trainer")}
        accelerator = {"trainer.accelerator": settings.trainer.accelerator}
        self.scoring: dict[str, Any] = {**batches, **settings.group("scoring"), **accelerator}
        self.distilling: dict[str, Any] = {**self.fitting, **settings.group("distillation")}
        loss = {name: self.distilling[f"distillation.{name}"] for name in ("temperature", "distillation_weight")}
        self.friendliness = {**self.scoring, **{f"distillation.{name}": value for name, value in loss.items()}}
        self.grid = {f"teacher.{name}": value for name, value in asdict(settings.teacher).items()}
        self._data = data

    @cached_property
    def encoder(self) -> dict[str, str]:
        """Content of the encoder, which is read whole for it."""
        return {f"{CONTENT}the encoder": model_digest(self.settings.model_name_or_path)}

    @cached_property
    def dev(self) -> dict[str, str]:
        """Content of dev."""
        return {f"{CONTENT}dev": self._data.digest("dev")}

    def expected_encoder(self) -> dict[str, Any]:
        """What a fit must find that it has loaded, which may be long after the encoder's files were hashed.

        Returns:
            Arguments of `ExpectedModel`.

        Raises:
            StarkError: If the files have changed since.
        """
        path, names = self.settings.model_name_or_path, self._data.label_names
        try:
            model, with_head = load_classifier(path, label_names=names, new_head=False), True
        except StarkError:
            model, with_head = load_classifier(path, label_names=names), False
        digest = loaded_digest(model, load_tokenizer(path), with_head=with_head)
        if model_digest(path) != self.encoder[f"{CONTENT}the encoder"]:
            raise StarkError(f"{path} changed while the run was working: give the same command again")
        return {"digest": digest, "with_head": with_head}

    def name(self, name: str) -> str:
        """Name of a stage from the trial on, or of what it leaves, by its path in the run's folder.

        Args:
            name: Such as ``trial``.

        Returns:
            Such as ``seed_1/trial``.
        """
        return f"{self._prefix}{name}"

    def cut(self, teacher: Candidate | RankedTeacher) -> Stage:
        """The stage that cuts a sparse teacher.

        Args:
            teacher: Of the method or of a baseline.

        Returns:
            The stage.
        """
        name, ranking = self.name(f"sparsify/{teacher.name}"), teacher.ranking
        settings: dict[str, Any] = {"ranking": ranking, "sparsity": teacher.sparsity}
        if ranking == "random":
            settings["seed"] = self.settings.seed
        own = ranking in SCORED
        scores = self.baseline_scores if own else self.scores
        return Stage(
            name,
            ("finetune", self.name("score_baselines" if own else "sparsify")),
            settings,
            (name,),
            lambda *_: sparsify.cut_teacher(
                self.settings, self.root / name, self.dense, scores, ranking, teacher.sparsity
            ),
        )

    def distillation(self, teacher: Candidate | RankedTeacher) -> Stage:
        """The stage that distils from it.

        Args:
            teacher: Of the method or of a baseline.

        Returns:
            The stage.
        """
        name = self.name(f"distill/{teacher.name}")
        return Stage(
            name,
            (self.name(f"sparsify/{teacher.name}"), "prune"),
            self.distilling,
            (f"{name}/model",),
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
        """Distil from a sparse teacher, or a part of it.

        Args:
            teacher: Of the method or of a baseline.
            watch: Callbacks that watch the fit.
            resume: Go on with what an interrupted or paused one left.
            pause_after: Train only so many epochs now.
        """
        source, folder = (self.root / self.name(f"{place}/{teacher.name}") for place in ("sparsify", "distill"))
        distil.distill(self.settings, folder, source, self.initial, watch, resume, pause_after)


def _content(data: GLUEDataModule, split: str) -> dict[str, str]:
    """Digests of the splits that training, selection and scoring read."""
    uses_dev = data.selection == "validation" or split == "validation"
    return {f"{CONTENT}{name}": data.digest(name) for name in ("train", *(("dev",) if uses_dev else ()))}
