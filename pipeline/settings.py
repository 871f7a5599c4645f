"""What `stark run` can be told: one dataclass per part of the method, read from YAML and the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from datamodules import open_task
from pipeline.parsing.plugins import Plugin
from stark.budgets.checks import check_sparsity
from stark.choices import LayerChoice, ScoreReduction, ScoringSplit
from stark.errors import StarkError

__all__ = [
    "PARTS",
    "Baseline",
    "DistillationSettings",
    "Executor",
    "FitSettings",
    "Loggers",
    "PredictionRule",
    "RunOptions",
    "RunSettings",
    "ScoringSettings",
    "SearchMode",
    "SearchSettings",
    "StudentSettings",
    "TeacherSettings",
    "TrainerSettings",
]


Executor = Literal["local", "ray"]
Loggers = Literal["tensorboard", "wandb", "mlflow"]
SearchMode = Literal["exhaustive", "halving", "predict", "none"]
PredictionRule = Literal["metric", "agreement", "metric_and_sparsity"]
Baseline = Literal[
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
"""Other ways to a student of the same shape, reported beside the method's and never chosen; the last six are other
rankings of the teacher's units, see `Ranking`."""

# Where things lie, how often they are saved, and what is recorded apart.
_WITHOUT_EFFECT = ("data_dir", "cache_dir", "num_workers", "expected_content", "loggers", "checkpoint_every_n_steps")


@dataclass
class FitSettings:
    """How a model is trained; of the finetuning, 0 epochs take the model as an already finetuned teacher."""

    epochs: int = 5
    learning_rate: float = 3e-5
    weight_decay: float = 0.01
    warmup_proportion: float = 0.1
    #: Validations without a better score before the fit stops.
    patience: int = 5

    def optimization(self) -> dict[str, float]:
        """What the Lightning modules call the same."""
        names = ("learning_rate", "weight_decay", "warmup_proportion")
        return {name: getattr(self, name) for name in names}


@dataclass
class DistillationSettings(FitSettings):
    """How every student is distilled, in the trial as in the actual distillations."""

    epochs: int = 10
    #: Class path of the loss, or its class_path and init_args; null for `stark.SoftTargets`.
    loss: str | dict[str, Any] | None = None
    #: Temperature and weight of `stark.SoftTargets`, in the place of `loss`; null for its defaults.
    temperature: float | None = None
    distillation_weight: float | None = None

    def __post_init__(self) -> None:
        """Check that the loss is described once."""
        if self.loss is not None and (self.temperature is not None or self.distillation_weight is not None):
            raise StarkError(
                "distillation.loss is given beside distillation.temperature or distillation.distillation_weight: set "
                "them in distillation.loss.init_args"
            )

    def loss_config(self) -> dict[str, Any]:
        """The loss as a single fit is told: its class path, and its settings."""
        if isinstance(self.loss, str):
            return {"class_path": self.loss}
        if self.loss is not None:
            return self.loss
        given = {"temperature": self.temperature, "weight": self.distillation_weight}
        settings = {name: value for name, value in given.items() if value is not None}
        return {"class_path": "stark.SoftTargets", "init_args": settings}


@dataclass
class StudentSettings:
    """How the student is cut: `sparsity` of heads and neurons removed, or a number of `layers` kept."""

    sparsity: float | None = None
    layers: int | None = None
    which: LayerChoice = "first"
    #: Keep a multiple of this many neurons in each layer: other widths cost more time than they save.
    round_to: int = 8

    def __post_init__(self) -> None:
        """Check that exactly one way is chosen."""
        if (self.sparsity is None) == (self.layers is None):
            raise StarkError(
                f"student.sparsity is {self.sparsity} and student.layers {self.layers}: give one of them and set the "
                "other to null"
            )
        if self.sparsity is not None:
            check_sparsity(self.sparsity)


@dataclass
class TeacherSettings:
    """Which sparse teachers are candidates: each lam, the weight of expressiveness, with each sparsity."""

    lams: list[float] = field(default_factory=lambda: [0.5])
    sparsities: list[float] = field(default_factory=lambda: [0.05, 0.1, 0.2, 0.3, 0.4])

    def __post_init__(self) -> None:
        """Check the ranges."""
        for lam in self.lams:
            if not 0 <= lam <= 1:
                raise StarkError(f"teacher.lams are {self.lams}: choose weights of expressiveness in [0, 1]")
        for sparsity in self.sparsities:
            check_sparsity(sparsity)
        for name, values in (("lams", self.lams), ("sparsities", self.sparsities)):
            if len({f"{value:g}" for value in values}) < len(values):  # as folders are called
                raise StarkError(f"teacher.{name} are {values}: name each one once")
        if not self.lams:
            raise StarkError("teacher.lams are []: name at least one")


@dataclass
class SearchSettings:
    """How the best sparse teacher is found, by the selection part alone.

    ``exhaustive`` distils from every candidate. ``halving`` does so for a few epochs, goes on with the better ones, and
    so on. ``predict`` ranks the candidates without training and distils from the best. ``none`` distils from the only
    candidate and takes its student, whatever that of the dense teacher scores.
    """

    mode: SearchMode = "exhaustive"
    #: Of ``predict``: the sparse teacher's own score, its agreement with the trial student, or score + weight x
    #: sparsity.
    rule: PredictionRule = "agreement"
    #: The weight in ``metric_and_sparsity``.
    sparsity_weight: float = 0.2
    #: Of ``halving``: one of so many candidates stays, and what stays is trained so many times longer.
    eta: int = 2


@dataclass
class ScoringSettings:
    """On which part of the data heads and neurons are scored, and how."""

    split: ScoringSplit = "selection"
    reduction: ScoreReduction = "example"


@dataclass
class TrainerSettings:
    """Lightning's Trainer, as far as all stages share it."""

    accelerator: str = "auto"
    devices: int = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    gradient_clip_val: float = 1.0
    accumulate_grad_batches: int = 1
    #: Evaluate every so many batches instead of each epoch.
    val_check_interval: int | None = None
    #: Train with torch.compile; for GPUs.
    compile: bool = False
    #: Loggers in addition to the CSV of each fit.
    loggers: list[Loggers] = field(default_factory=list)
    #: Write a checkpoint every so many steps, in addition to those after each evaluation.
    checkpoint_every_n_steps: int = 500


@dataclass
class RunSettings:
    """Everything that decides what a run computes, and where it goes."""

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
    #: The trial and all that follows is repeated with each of these; none: once, with ``seed``.
    seeds: list[int] = field(default_factory=list)
    baselines: list[Baseline] = field(default_factory=list)
    #: How many fits run at a time, and where, which changes no result.
    workers: int = 1
    executor: Executor = "local"
    plugins: tuple[Plugin, ...] = ()

    @property
    def is_shared(self) -> bool:
        """Whether each fit has a process of its own, beside others."""
        return self.workers > 1 or self.executor != "local"

    @property
    def folder(self) -> Path:
        """Where the run's files lie."""
        return Path(self.root) / self.name

    @property
    def task_name(self) -> str:
        """Of the data, wherever a file that describes them lies; the content of its files counts beside it."""
        return open_task(self.data["task"], self.data.get("data_dir")).name

    def with_seed(self, seed: int) -> RunSettings:
        """The same run with fits from another seed, on the same rows.

        Args:
            seed: Seed of the fits.

        Returns:
            Other settings.
        """
        cut_seed = self.seed if self.data.get("cut_seed") is None else self.data["cut_seed"]
        return replace(self, seed=seed, data={**self.data, "cut_seed": cut_seed})

    def expecting(self, content: Mapping[str, str]) -> RunSettings:
        """The same run, whose stages refuse other rows than those that it began with.

        Args:
            content: Digest of each split.

        Returns:
            Other settings.
        """
        return replace(self, data={**self.data, "expected_content": dict(content)})

    def group(self, part: str) -> dict[str, Any]:
        """The settings of a part on which results depend, by their full names.

        Args:
            part: Such as ``trainer``.

        Returns:
            Such as ``{"trainer.devices": 1, ...}``.
        """
        values = asdict(getattr(self, part)) if part != "data" else {**self.data, "task": self.task_name}
        return {f"{part}.{name}": value for name, value in values.items() if name not in _WITHOUT_EFFECT}


@dataclass
class RunOptions:
    """What a single call of `stark run` is asked for, beside the settings."""

    #: Number of fits that run at a time, each in a separate process if there are several.
    workers: int = 1
    #: Where they run.
    executor: Executor = "local"
    #: Only print what would run, and why.
    dry_run: bool = False
    #: Run this stage again, and all that depend on it.
    start: str | None = None


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
