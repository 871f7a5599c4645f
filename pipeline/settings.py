"""The settings of `stark run`: one dataclass per part of the method, read from YAML and the command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from datamodules import open_task
from pipeline.parsing.durations import seconds_of
from pipeline.parsing.objects import plain
from pipeline.parsing.plugins import Plugin
from stark.budgets.checks import check_sparsity
from stark.choices import ClassWeights, LayerChoice, ScoreReduction, ScoringSplit
from stark.errors import StarkError

__all__ = [
    "EARLIER",
    "PARTS",
    "SIMPLE",
    "Baseline",
    "DistillationSettings",
    "ExecutorName",
    "FitSettings",
    "Loggers",
    "PredictionRule",
    "RunOptions",
    "RunSettings",
    "ScoringSettings",
    "SearchMode",
    "SearchSettings",
    "SlurmSettings",
    "StudentSettings",
    "TeacherSettings",
    "TrainerSettings",
    "Weights",
    "check_ranges",
    "number",
]


ExecutorName = Literal["local", "ray", "slurm"]
Loggers = Literal["tensorboard", "wandb", "mlflow"]
SearchMode = Literal["exhaustive", "halving", "predict", "none"]
PredictionRule = Literal["metric", "agreement", "metric_and_sparsity"]
Weights = Literal["best", "averaged"]
"""The weights that a fit ends with: those of the epoch with the best score on the selection split, or the mean over the
last tenth of its steps."""
Baseline = Literal[
    "simple",
    "no_teacher",
    "dense_teacher_best_of_k",
    "teacher_assistant",
    "restored_teacher",
    "expressiveness",
    "friendliness",
    "signed_friendliness",
    "kl_friendliness",
    "magnitude",
    "random",
]
"""What is reported for comparison and never chosen: ``simple`` stands for the alternatives to a student, see
`ALTERNATIVES`; the others are ways to make a student of the same shape. The last six rank the teacher's units by other
scores, see `RANKINGS`."""
SIMPLE: Baseline = "simple"


def number(default: Any, least: float, most: float = math.inf) -> Any:  # noqa: ANN401 - the field's annotation gives the type
    """Declare a setting that is a number in a range; other values would make torch or Lightning fail during a run.

    The types of `jsonargparse.typing` are not used, because mypy takes them for Any.

    Args:
        default: Default value of the setting.
        least: Smallest allowed value.
        most: Largest allowed value.

    Returns:
        A field of a dataclass; `check_ranges` checks its range.
    """
    return field(default=default, metadata={"range": (least, most)})


def check_ranges(name: str, part: Any) -> None:  # noqa: ANN401 - any of the dataclasses
    """Check the numbers of a part of the settings.

    Args:
        name: Name of the part, such as ``finetuning``.
        part: The part.

    Raises:
        StarkError: If a number is out of its range.

    Examples:
        >>> check_ranges("finetuning", FitSettings(epochs=-1))
        Traceback (most recent call last):
        stark.errors.StarkError: finetuning.epochs is -1: choose a number at least 0
    """
    for item in fields(part):
        value = getattr(part, item.name)
        if value is None or "range" not in item.metadata:
            continue
        least, most = item.metadata["range"]
        # Not the other way round: a comparison with nan is False.
        if not least <= value <= most:
            asked = f"at least {least}" if most == math.inf else f"from {least:g} to {most:g}"
            raise StarkError(f"{name}.{item.name} is {value}: choose a number {asked}")


# Settings on which no result depends (paths, logging, how often checkpoints are written), or which are recorded
# separately.
_WITHOUT_EFFECT = (
    *("data_dir", "cache_dir", "num_workers", "expected_content", "loggers", "checkpoint_every_n_steps"),
    *("unlabelled", "unlabelled_ratio", "changed_rows", "changes", "masked_language_model"),
    "teacher_answers",
)
EARLIER: dict[str, Any] = {
    "finetuning.weights": "best",
    "distillation.weights": "best",
    **{"student.cuts": 1, "student.cuts_end": 0.5, "student.path": [], "student.embedding_rank": None},
}
"""Settings that are newer than some runs, with the value by which those runs were made; for switches it is False."""


@dataclass
class FitSettings:
    """How a model is trained. In the finetuning, 0 epochs mean that the model is already a finetuned teacher."""

    #: Passes over the rows; with `steps` the number of equal parts of the fit, each of which ends with an evaluation.
    epochs: int = number(5, 0)
    #: Number of optimizer steps of the fit, rounded up to a multiple of `epochs`; null for whole passes.
    steps: int | None = number(None, 1)
    learning_rate: float = number(3e-5, 0, 1e6)
    weight_decay: float = number(0.01, 0, 1e6)
    warmup_proportion: float = number(0.1, 0, 1)
    #: Validations without a better score before the fit stops; without effect on averaged weights.
    patience: int = number(5, 0)
    #: best: the weights of the epoch with the best score on the selection split; averaged: the mean over the last tenth
    #: of the steps, without early stopping.
    weights: Weights = "best"
    #: Weights of the classes in the task loss: none, balanced, or a list with one number per class.
    class_weights: ClassWeights = "none"

    def steps_per_epoch(self) -> int | None:
        """Number of optimizer steps of an epoch; None for a whole pass.

        Examples:
            >>> FitSettings(epochs=3, steps=100).steps_per_epoch(), FitSettings().steps_per_epoch()
            (34, None)
        """
        return None if self.steps is None else -(-self.steps // max(self.epochs, 1))

    def training(self) -> dict[str, Any]:
        """The arguments of the Lightning modules that have the same names."""
        names = ("learning_rate", "weight_decay", "warmup_proportion", "class_weights")
        return {name: getattr(self, name) for name in names}


@dataclass
class DistillationSettings(FitSettings):
    """How every student is distilled, in the trial as in the actual distillations."""

    epochs: int = number(10, 0)
    #: Class path of the loss, or its class_path and init_args; null for `stark.SoftTargets`.
    loss: str | dict[str, Any] | None = None
    #: Temperature and weight of `stark.SoftTargets`, instead of `loss`; null for its defaults.
    temperature: float | None = number(None, 1e-6, 1e6)
    distillation_weight: float | None = number(None, 0, 1)
    #: Files with another teacher's answers, in the place of the dense teacher's logits; see `TeacherAnswers`.
    teacher_answers: list[str] | None = None

    def __post_init__(self) -> None:
        """Check that the loss is described once."""
        self.loss = plain(self.loss)
        if self.loss is not None and (self.temperature is not None or self.distillation_weight is not None):
            raise StarkError(
                "distillation.loss is given together with distillation.temperature or "
                "distillation.distillation_weight: set them in distillation.loss.init_args"
            )

    def loss_config(self) -> dict[str, Any]:
        """The loss as the settings of a single fit describe it: its class path and its arguments."""
        if isinstance(self.loss, str):
            return {"class_path": self.loss}
        if self.loss is not None:
            copied: dict[str, Any] = plain(self.loss)  # the parser of a fit changes lists of objects in place
            return copied
        given = {"temperature": self.temperature, "weight": self.distillation_weight}
        settings = {name: value for name, value in given.items() if value is not None}
        return {"class_path": "stark.SoftTargets", "init_args": settings}


@dataclass
class StudentSettings:
    """How the student is cut.

    Either the fraction `sparsity` of heads and neurons (or of what `budget` counts) is removed, or `layers` are kept.
    """

    sparsity: float | None = None
    layers: int | None = None
    which: LayerChoice = "first"
    #: The number of neurons kept in each layer is a multiple of this; other widths cost more time than they save.
    round_to: int = number(8, 1)
    #: Class path of the score that units are ranked by, or its class_path and init_args; null for
    #: `stark.Expressiveness`.
    score: str | dict[str, Any] | None = None
    #: Class path of the budget, which counts what the sparsity is a fraction of, or its class_path and init_args; null
    #: for `stark.Units`.
    budget: str | dict[str, Any] | None = None
    #: Whether the cut student's output projections are solved on rows of train, after each cut.
    refit: bool = False
    #: Number of cuts: 1 cuts the student before it is distilled, more of them cut it while it is distilled.
    cuts: int = number(1, 1, 1000)
    #: Fraction of a distillation's steps after which the last of several cuts is made.
    cuts_end: float = number(0.5, 0.01, 0.99)
    #: Sparsities of students on the way, ascending: each is cut from the one before it and distilled, and the student
    #: is cut from the last of them.
    path: list[float] = field(default_factory=list)
    #: Whether each of them also teaches the next one, in the place of the dense teacher.
    path_teaches: bool = False
    #: Rank of the student's token embeddings, which are factorised before it is distilled; null leaves them whole.
    embedding_rank: int | None = number(None, 1)

    def __post_init__(self) -> None:
        """Check that exactly one way is chosen."""
        self.score, self.budget = plain(self.score), plain(self.budget)
        if (self.sparsity is None) == (self.layers is None):
            raise StarkError(
                f"student.sparsity is {self.sparsity} and student.layers {self.layers}: give one of them and set the "
                "other to null"
            )
        if self.sparsity is not None:
            check_sparsity(self.sparsity)
        elif self.score is not None or self.budget is not None:
            raise StarkError(
                "student.score and student.budget rank units, but student.layers drops layers: leave them out"
            )
        elif self.refit:
            raise StarkError(
                "student.refit makes up for removed heads and neurons, but student.layers drops layers: leave it out"
            )
        elif self.is_gradual or self.path:
            raise StarkError(
                "student.cuts and student.path remove heads and neurons, but student.layers drops layers: give one"
            )
        self._check_path()

    def _check_path(self) -> None:
        for sparsity in self.path:
            check_sparsity(sparsity)
        if any(low >= high for low, high in pairwise([0.0, *self.path, *([self.sparsity] if self.sparsity else [])])):
            raise StarkError(
                f"student.path is {self.path} and student.sparsity {self.sparsity}: give ascending sparsities above 0 "
                "and below that of the student"
            )
        if self.path and self.is_gradual:
            raise StarkError(
                f"student.path is {self.path} and student.cuts {self.cuts}: the students on a path are cut before they "
                "are distilled, so leave one of the two out"
            )
        if self.path_teaches and not self.path:
            raise StarkError("student.path_teaches is true, but there is no student.path: name its sparsities")

    @property
    def is_gradual(self) -> bool:
        """Whether the student is cut while it is distilled."""
        return self.cuts > 1


@dataclass
class TeacherSettings:
    """Which sparse teachers are candidates: each lam (the weight of expressiveness) with each sparsity.

    Without a sparsity there is no sparse teacher, and the student of the dense teacher is the result.
    """

    #: Null where `score` is given.
    lams: list[float] | None = field(default_factory=lambda: [0.5])
    sparsities: list[float] = field(default_factory=lambda: [0.05, 0.1, 0.2, 0.3, 0.4])
    #: Class path of the score that units are ranked by, or its class_path and init_args, instead of
    #: `stark.Knowledgeableness` with each of `lams`.
    score: str | dict[str, Any] | None = None
    #: Class path of the budget, which counts what a sparsity is a fraction of, or its class_path and init_args; null
    #: for `stark.Units`.
    budget: str | dict[str, Any] | None = None
    #: Whether the cut teachers' output projections are solved on rows of train.
    refit: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        if (self.lams is None) == (self.score is None):
            raise StarkError(
                f"teacher.lams are {self.lams} and teacher.score {self.score}: give one of them and set the other to "
                "null"
            )
        for lam in self.lams or ():
            if not 0 <= lam <= 1:
                raise StarkError(f"teacher.lams are {self.lams}: choose weights of expressiveness in [0, 1]")
        for sparsity in self.sparsities:
            check_sparsity(sparsity)
        for name, values in (("lams", self.lams), ("sparsities", self.sparsities)):
            if values and len({f"{value:g}" for value in values}) < len(values):  # spelled as in folder names
                raise StarkError(f"teacher.{name} are {values}: name each one once")
        if self.lams == []:
            raise StarkError("teacher.lams are []: name at least one")


@dataclass
class SearchSettings:
    """How the best sparse teacher is found; only the held-out selection split decides.

    ``exhaustive`` distils from every candidate. ``halving`` (successive halving) distils from all candidates for a few
    epochs, continues with the better ones, and repeats this. ``predict`` ranks the candidates without training and
    distils from the best one. ``none`` distils from the only candidate and takes its student, even if the dense
    teacher's student scores higher.
    """

    mode: SearchMode = "exhaustive"
    #: How ``predict`` ranks: by the sparse teacher's own score, by its agreement with the trial student, or by
    #: score + weight x sparsity.
    rule: PredictionRule = "agreement"
    #: The weight in ``metric_and_sparsity``.
    sparsity_weight: float = number(0.2, -1e6, 1e6)
    #: For ``halving``: each round keeps one of this many candidates and trains it this many times longer.
    eta: int = number(2, 2)


@dataclass
class ScoringSettings:
    """On which split heads and neurons are scored, and how the scores are reduced over its rows."""

    split: ScoringSplit = "selection"
    reduction: ScoreReduction = "example"
    #: Whether the teacher's units are scored on rows without labels, too, by what needs no labels; for split train.
    use_unlabelled: bool = False

    def __post_init__(self) -> None:
        """Check that the split has such rows."""
        if self.use_unlabelled and self.split != "train":
            raise StarkError(
                f"scoring.use_unlabelled is true and scoring.split {self.split}: only train has rows without labels: "
                "set scoring.split to train"
            )


@dataclass
class TrainerSettings:
    """Settings of Lightning's Trainer that all stages share."""

    accelerator: str = "auto"
    devices: int = number(1, 1)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    gradient_clip_val: float = number(1.0, 0)
    accumulate_grad_batches: int = number(1, 1)
    #: Number of batches between evaluations; null to evaluate after each epoch.
    val_check_interval: int | None = number(None, 1)
    #: Whether to train with torch.compile; for GPUs.
    compile: bool = False
    #: Whether each step is replayed as one CUDA graph; auto: on a single GPU.
    cuda_graphs: Literal["auto"] | bool = False
    #: Loggers in addition to the CSV of each fit.
    loggers: list[Loggers] = field(default_factory=list)
    #: Number of steps between checkpoints that are written in addition to those after each evaluation.
    checkpoint_every_n_steps: int = number(500, 1)


@dataclass
class SlurmSettings:
    """What to ask SLURM for, for each job. SLURM reads anything else from variables such as ``SBATCH_ACCOUNT``."""

    #: Name of the partition; null for the cluster's default.
    partition: str | None = None
    #: Longest duration of a job. A fit that takes longer is continued in another job.
    time: str = "4h"
    gpus: int = number(0, 0)
    #: Number of cores, and of threads.
    cpus: int = number(4, 1)

    def __post_init__(self) -> None:
        """Check the duration."""
        if seconds_of(self.time) < 60:
            raise StarkError(f"slurm.time is {self.time}: give at least 1min")


@dataclass
class RunSettings:
    """All settings that decide what a run computes and where its files are written."""

    model_name_or_path: str
    name: str
    root: str
    seed: int
    data: dict[str, Any]
    finetuning: FitSettings
    student: StudentSettings
    distillation: DistillationSettings
    teacher: TeacherSettings
    search: SearchSettings
    scoring: ScoringSettings
    trainer: TrainerSettings
    #: Seeds with each of which the trial and everything after it are repeated; if empty, they run once, with ``seed``.
    seeds: list[int] = field(default_factory=list)
    baselines: list[Baseline] = field(default_factory=lambda: [SIMPLE])
    #: Number of fits that run at a time, and where they run; results do not depend on either.
    workers: int = 1
    executor: ExecutorName = "local"
    slurm: SlurmSettings = field(default_factory=SlurmSettings)
    plugins: tuple[Plugin, ...] = ()

    @property
    def is_shared(self) -> bool:
        """Whether each fit runs in a separate process, possibly at the same time as others."""
        return self.workers > 1 or self.executor != "local"

    @property
    def folder(self) -> Path:
        """The folder of the run's files."""
        return Path(self.root) / self.name

    @property
    def task_name(self) -> str:
        """Name of the task. It replaces the path of a task's description; the data's content is recorded separately."""
        return open_task(self.data["task"], self.data.get("data_dir")).name

    def with_seed(self, seed: int) -> RunSettings:
        """The settings of the same run with another seed for the fits, on the same rows.

        Args:
            seed: Seed of the fits.

        Returns:
            New settings.
        """
        cut_seed = self.seed if self.data.get("cut_seed") is None else self.data["cut_seed"]
        return replace(self, seed=seed, data={**self.data, "cut_seed": cut_seed})

    def expecting(self, content: Mapping[str, str]) -> RunSettings:
        """The settings of the same run, with stages that refuse other rows than those at the run's start.

        Args:
            content: Digest of each split.

        Returns:
            New settings.
        """
        return replace(self, data={**self.data, "expected_content": dict(content)})

    def group(self, part: str) -> dict[str, Any]:
        """The settings of a part on which results depend, by their full names.

        Args:
            part: Name of the part, such as ``trainer``.

        Returns:
            Values by full name, such as ``{"trainer.devices": 1, ...}``.
        """
        values = asdict(getattr(self, part)) if part != "data" else {**self.data, "task": self.task_name}
        return {f"{part}.{name}": value for name, value in values.items() if name not in _WITHOUT_EFFECT}


@dataclass
class RunOptions:
    """Options of a single call of `stark run`; they are not among the run's settings."""

    #: Number of fits that run at a time, each in a separate process if there are several.
    workers: int = 1
    #: Where they run.
    executor: ExecutorName = "local"
    #: What to ask for if they run on SLURM.
    slurm: SlurmSettings = field(default_factory=SlurmSettings)
    #: Whether only to print what would run, and why.
    dry_run: bool = False
    #: Name of a stage that runs again, with all stages that depend on it.
    start: str | None = None
    #: Seconds that the run may take; the length of the distillations is chosen by them.
    seconds: float | None = None


PARTS: dict[str, Callable[..., Any]] = {
    "finetuning": FitSettings,
    "student": StudentSettings,
    "distillation": DistillationSettings,
    "teacher": TeacherSettings,
    "search": SearchSettings,
    "scoring": ScoringSettings,
    "trainer": TrainerSettings,
}
"""The parts of a run\'s settings, by their keys in YAML."""
