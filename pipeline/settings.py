"""What `stark run` can be told: one dataclass per part of the method, read from YAML and the command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]  # the first is public, too

from datamodules import is_description, open_task
from datamodules.settings import DataSettings
from pipeline.elsewhere import Executor
from pipeline.errors import OneLineErrors
from pipeline.loggers import Loggers, prepare_loggers
from pipeline.on_ray import check_ray
from pipeline.plugins import PLUGINS_HELP, Plugin, PluginPaths, load_plugins
from stark.budgets.checks import check_sparsity
from stark.choices import LayerChoice, ScoreReduction, ScoringSplit

__all__ = [
    "Baseline",
    "DistillationSettings",
    "FitSettings",
    "PredictionRule",
    "RunOptions",
    "RunSettings",
    "ScoringSettings",
    "SearchMode",
    "SearchSettings",
    "StudentSettings",
    "TeacherSettings",
    "TrainerSettings",
    "read_settings",
]

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
    temperature: float = 2.0
    distillation_weight: float = 0.5


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
            raise ValueError(
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
                raise ValueError(f"teacher.lams are {self.lams}: choose weights of expressiveness in [0, 1]")
        for sparsity in self.sparsities:
            check_sparsity(sparsity)
        for name, values in (("lams", self.lams), ("sparsities", self.sparsities)):
            if len({f"{value:g}" for value in values}) < len(values):  # as folders are called
                raise ValueError(f"teacher.{name} are {values}: name each one once")
        if not self.lams:
            raise ValueError("teacher.lams are []: name at least one")


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
    #: Log to these as well, beside the CSV of each fit.
    loggers: list[Loggers] = field(default_factory=list)
    #: Write a checkpoint every so many steps, beside those after each evaluation.
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
            seed: Of the fits.

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

    #: How many fits run at a time, each in a process of its own if there are several.
    workers: int = 1
    #: Where they run.
    executor: Executor = "local"
    #: Only print what would run, and why.
    dry_run: bool = False
    #: Run this stage again, and all that depend on it.
    start: str | None = None


# Where things lie, how often they are saved, and what is recorded apart.
_WITHOUT_EFFECT = ("data_dir", "cache_dir", "num_workers", "expected_content", "loggers", "checkpoint_every_n_steps")

_PARTS: dict[str, Callable[..., Any]] = {
    "finetuning": FitSettings,
    "student": StudentSettings,
    "distillation": DistillationSettings,
    "teacher": TeacherSettings,
    "search": SearchSettings,
    "scoring": ScoringSettings,
    "trainer": TrainerSettings,
}

# The least and the most of every number that has no check of its own; otherwise torch or Lightning would stumble over
# it in the middle of a run.
_RANGES = {
    "epochs": (0, math.inf),
    "learning_rate": (0, 1e6),
    "weight_decay": (0, 1e6),
    "warmup_proportion": (0, 1),
    "patience": (0, math.inf),
    "temperature": (1e-6, 1e6),
    "distillation_weight": (0, 1),
    "round_to": (1, math.inf),
    "sparsity_weight": (-1e6, 1e6),
    "eta": (2, math.inf),
    "devices": (1, math.inf),
    "gradient_clip_val": (0, math.inf),
    "accumulate_grad_batches": (1, math.inf),
    "val_check_interval": (1, math.inf),
    "checkpoint_every_n_steps": (1, math.inf),
}
_MOST_SEED = 2**32 - 1


def _parser() -> OneLineErrors:
    parser = OneLineErrors(prog="stark run", description="The whole method, from an encoder to the best small student.")
    parser.add_argument("-c", "--config", action=ActionConfigFile, help="YAML file; later ones and options override")
    parser.add_argument("--model_name_or_path", type=str, required=True, help="encoder: local folder or hub id")
    parser.add_argument("--name", type=str, default="stark", help="the run's folder is ROOT/NAME")
    parser.add_argument("--root", type=str, default="runs", help="folder of all runs")
    parser.add_argument("--seed", type=int, default=776, help="every fit starts from it")
    parser.add_argument("--seeds", type=list[int], default=[], help="repeat the trial and what follows with each")
    parser.add_argument("--workers", type=int, default=1, help="fits that run at a time, each in its own process")
    parser.add_argument("--executor", type=Executor, default="local", help="where they run: this machine, or Ray")
    parser.add_argument("--plugins", type=PluginPaths, default=[], help=PLUGINS_HELP)
    parser.add_argument("--dry-run", action="store_true", help="print which stages would run, and why")
    parser.add_argument("--from", type=str, metavar="STAGE", help="run this stage and all that depend on it again")
    parser.add_argument(
        "--baselines", type=list[Baseline], default=[], help="students made in other ways, for comparison"
    )
    set_by_stages = {"model_name_or_path", "seed", "cut_seed", "use_unlabelled", "expected_content"}
    parser.add_class_arguments(DataSettings, "data", skip=set_by_stages)
    for name, part in _PARTS.items():
        parser.add_class_arguments(part, name)
    return parser


def read_settings(args: list[str]) -> tuple[RunSettings, str, RunOptions]:
    """Read the options of `stark run`.

    Args:
        args: The command line after `run`.

    Returns:
        The settings, the same as the text of a YAML file that gives them again, and the options of this call.

    Raises:
        ValueError: If a value is out of range.
        SystemExit: With status 2 if an option or key is unknown or of the wrong type.
    """
    parser = _parser()
    parsed = parser.parse_args(args)
    options = RunOptions(
        workers=parsed.pop("workers"),
        executor=parsed.pop("executor"),
        dry_run=parsed.pop("dry_run"),
        start=parsed.pop("from"),
    )
    if options.executor == "ray":
        check_ray()
    if options.workers < 1:
        raise ValueError(f"workers is {options.workers}: give at least 1")
    for name in ("data", *_PARTS):
        if not isinstance(parsed[name], Namespace):
            raise ValueError(f"{name} is {parsed[name]!r}: it must be a mapping of settings, or left out")
    plugins = load_plugins(parsed.plugins)
    parsed.plugins = [str(plugin.path) for plugin in plugins]
    _make_absolute_(parsed)
    text = parser.dump(parsed, format="yaml", skip_none=False)
    parts = {name: part(**parsed[name].as_dict()) for name, part in _PARTS.items()}
    for name, part in parts.items():
        _check_ranges(name, part)
    _check_search(parts["teacher"], parts["search"])
    _check_place(parsed.name)
    _check_accelerator(parts["trainer"].accelerator)
    prepare_loggers(parts["trainer"].loggers)
    loggers = parts["trainer"].loggers
    for name, values in (("seeds", parsed.seeds), ("baselines", parsed.baselines), ("trainer.loggers", loggers)):
        if len(set(values)) < len(values):
            raise ValueError(f"{name} are {values}: name each one once")
    for seed in (parsed.seed, *parsed.seeds):
        if not 0 <= seed <= _MOST_SEED:
            raise ValueError(f"seed is {seed}: choose one from 0 to {_MOST_SEED}")
    settings = RunSettings(
        model_name_or_path=parsed.model_name_or_path,
        name=parsed.name,
        root=parsed.root,
        seed=parsed.seed,
        data=parsed.data.as_dict(),
        seeds=parsed.seeds,
        workers=options.workers,
        executor=options.executor,
        baselines=parsed.baselines,
        plugins=plugins,
        **parts,
    )
    # The task and the ranges of its settings are checked now, not after the first stage.
    DataSettings(model_name_or_path=settings.model_name_or_path, seed=settings.seed, **settings.data)
    return settings, text, options


def _make_absolute_(parsed: Namespace) -> None:
    """Name local files absolutely: the run's `config.yaml` then means the same from any folder."""
    parsed.root = _absolute(parsed.root)
    # Anything else is the id of a model on the hub.
    if Path(parsed.model_name_or_path).is_dir():
        parsed.model_name_or_path = _absolute(parsed.model_name_or_path)
    if is_description(parsed.data.task):
        parsed.data.task = _absolute(parsed.data.task)
    for name in ("data_dir", "cache_dir"):
        if parsed.data[name] is not None:
            parsed.data[name] = _absolute(parsed.data[name])


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _check_ranges(prefix: str, part: Any) -> None:  # noqa: ANN401 - any of the dataclasses
    for name, value in vars(part).items():
        # Not the other way round: a comparison with nan is False.
        if name in _RANGES and value is not None and not _RANGES[name][0] <= value <= _RANGES[name][1]:
            least, most = _RANGES[name]
            asked = f"at least {least}" if most == math.inf else f"from {least:g} to {most:g}"
            raise ValueError(f"{prefix}.{name} is {value}: choose a number {asked}")


def _check_search(teacher: TeacherSettings, search: SearchSettings) -> None:
    if search.mode == "none" and (len(teacher.lams), len(teacher.sparsities)) != (1, 1):
        raise ValueError(
            f"search.mode is none, but teacher.lams are {teacher.lams} and teacher.sparsities {teacher.sparsities}: "
            "give one of each, or choose a mode that searches"
        )


def _check_place(name: str) -> None:
    path = Path(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"name is {name!r}: give a name for a folder under --root")


def _check_accelerator(name: str) -> None:
    # It takes seconds to import, and nothing before needs it.
    from pytorch_lightning.accelerators import AcceleratorRegistry

    known = AcceleratorRegistry.available_accelerators()
    if name not in ("auto", "gpu", *known):
        raise ValueError(f"trainer.accelerator is {name!r}: choose one of auto, gpu, {', '.join(known)}")
    classes = {key: AcceleratorRegistry[key]["accelerator"] for key in known}
    wanted = [classes[key] for key in ("cuda", "mps")] if name == "gpu" else [classes[name]] if name in classes else []
    if wanted and not any(accelerator.is_available() for accelerator in wanted):
        raise ValueError(f"trainer.accelerator is {name!r}, but this machine has none: choose another, such as auto")
