"""What the stages of a run share: where things lie, and on which settings results depend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pytorch_lightning import Callback

from callbacks.rankings import SCORED
from datamodules import GLUEDataModule
from lightning_modules import model_digest
from pipeline import stages
from pipeline.candidates import Candidate, RankedTeacher
from pipeline.plan import CONTENT, Stage
from pipeline.settings import RunSettings

__all__ = ["RunContext"]


class RunContext:
    """Places, groups of settings by their full names, and the two stages that every sparse teacher has.

    Args:
        settings: Of the run.
        data: Its data module, for the content of the data.

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
        encoder: Content of the encoder.
        dev: Content of dev.
    """

    def __init__(self, settings: RunSettings, data: GLUEDataModule) -> None:
        """Gather them."""
        self.settings, self.root = settings, settings.folder
        self.dense, self.initial, self.trial = (self.root / f"{name}/model" for name in ("finetune", "prune", "trial"))
        self.scores = self.root / "sparsify/teacher_scores.safetensors"
        self.baseline_scores = self.root / "sparsify/baseline_scores.safetensors"
        batches = {**settings.group("data"), "seed": settings.seed, **_content(data, settings.scoring.split)}
        self.fitting: dict[str, Any] = {**batches, **settings.group("trainer")}
        accelerator = {"trainer.accelerator": settings.trainer.accelerator}
        self.scoring: dict[str, Any] = {**batches, **settings.group("scoring"), **accelerator}
        self.distilling: dict[str, Any] = {**self.fitting, **settings.group("distillation")}
        loss = {name: self.distilling[f"distillation.{name}"] for name in ("temperature", "distillation_weight")}
        self.friendliness = {**self.scoring, **{f"distillation.{name}": value for name, value in loss.items()}}
        self.grid = {f"teacher.{name}": value for name, value in asdict(settings.teacher).items()}
        self.encoder = {f"{CONTENT}the encoder": model_digest(settings.model_name_or_path)}
        self.dev = {f"{CONTENT}dev": data.digest("dev")}

    def cut(self, teacher: Candidate | RankedTeacher) -> Stage:
        """The stage that cuts a sparse teacher.

        Args:
            teacher: Of the method or of a baseline.

        Returns:
            The stage.
        """
        name, ranking = f"sparsify/{teacher.name}", teacher.ranking
        settings: dict[str, Any] = {"ranking": ranking, "sparsity": teacher.sparsity}
        if ranking == "random":
            settings["seed"] = self.settings.seed
        own = ranking in SCORED
        scores = self.baseline_scores if own else self.scores
        return Stage(
            name,
            ("finetune", "score_baselines" if own else "sparsify"),
            settings,
            (name,),
            lambda *_: stages.cut_teacher(
                self.root / name, self.dense, scores, ranking, teacher.sparsity, self.settings.seed
            ),
        )

    def distillation(self, teacher: Candidate | RankedTeacher) -> Stage:
        """The stage that distils from it.

        Args:
            teacher: Of the method or of a baseline.

        Returns:
            The stage.
        """
        return Stage(
            f"distill/{teacher.name}",
            (f"sparsify/{teacher.name}", "prune"),
            self.distilling,
            (f"distill/{teacher.name}/model",),
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
        source, folder = self.root / "sparsify" / teacher.name, self.root / "distill" / teacher.name
        stages.distill(self.settings, folder, source, self.initial, watch, resume, pause_after)


def _content(data: GLUEDataModule, split: str) -> dict[str, str]:
    """Digests of the splits that training, selection and scoring read."""
    uses_dev = data.selection == "validation" or split == "validation"
    return {f"{CONTENT}{name}": data.digest(name) for name in ("train", *(("dev",) if uses_dev else ()))}
