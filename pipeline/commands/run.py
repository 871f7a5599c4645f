"""The command `stark run`: reads and checks its options."""

from __future__ import annotations

import logging
from pathlib import Path

from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]  # the first is public, too

from datamodules import is_description
from datamodules.settings import DataSettings
from datamodules.tasks.task import Task
from pipeline.describing.description import described, is_rows, rows_folder
from pipeline.executors.table import EXECUTORS
from pipeline.fits.loggers import prepare_loggers
from pipeline.parsing.durations import seconds_of
from pipeline.parsing.errors import OneLineErrors
from pipeline.parsing.plugins import PLUGINS_HELP, PluginPaths, load_plugins
from pipeline.parsing.progress import LOADING, step
from pipeline.settings import (
    PARTS,
    SIMPLE,
    Baseline,
    DistillationSettings,
    ExecutorName,
    RunOptions,
    RunSettings,
    SearchSettings,
    SlurmSettings,
    StudentSettings,
    TeacherSettings,
    TrainerSettings,
    check_ranges,
)
from stark.errors import StarkError

__all__ = ["command", "parser", "read_settings", "setting_names", "try_settings"]

_log = logging.getLogger(__name__)

# Baselines that are made of the dense teacher; all others have as many students as there are sparse teachers.
_WITHOUT_CANDIDATES: tuple[Baseline, ...] = (SIMPLE, "no_teacher", "teacher_assistant")
_MOST_SEED = 2**32 - 1
# Options that name columns of a file of rows.
_COLUMNS = ("text", "text_pair", "label", "group")
# Options that are no settings: of the parser, of a call, and the place of the run.
_OF_A_CALL = (
    *("help", "config", "print_config", "name", "root", "workers", "executor", "slurm", "dry_run", "from", "time"),
    *_COLUMNS,
)


def command(args: list[str]) -> None:
    """Run the command.

    Args:
        args: The command line after its name.
    """
    settings = read_settings(args)
    with step(LOADING):
        # Imported here, as it takes seconds.
        from pipeline.run import run

    run(*settings)


def parser() -> OneLineErrors:
    """Make the parser of `stark run`."""
    parser = OneLineErrors(prog="stark run", description="Run the whole method, from an encoder to the best student.")
    parser.add_argument("-c", "--config", action=ActionConfigFile, help="YAML file; later ones and options override")
    parser.add_argument("--model_name_or_path", type=str, required=True, help="encoder: local folder or hub id")
    parser.add_argument("--name", type=str, default="stark", help="the run's folder is ROOT/NAME")
    parser.add_argument("--root", type=str, default="runs", help="folder of all runs")
    parser.add_argument("--seed", type=int, default=776, help="random seed of every fit")
    parser.add_argument("--seeds", type=list[int], default=[], help="seeds to repeat the trial and later stages with")
    parser.add_argument("--workers", type=int, default=1, help="number of fits that run at a time, each in a process")
    parser.add_argument(
        "--executor", type=ExecutorName, default="local", help="where fits run: this machine, Ray or SLURM"
    )
    parser.add_argument("--plugins", type=PluginPaths, default=[], help=PLUGINS_HELP)
    parser.add_argument("--dry-run", action="store_true", help="print which stages would run, and why")
    parser.add_argument("--from", type=str, metavar="STAGE", help="run this stage and all that depend on it again")
    parser.add_argument("--time", type=str, help="choose distillation.steps for a run of this time, such as 30min")
    parser.add_argument("--text", type=str, help="column of the text, if data.task is rows")
    parser.add_argument("--text_pair", type=str, help="column of the second text, likewise")
    parser.add_argument("--label", type=str, help="column of the label, likewise; default: found, as the others are")
    parser.add_argument("--group", type=str, help="column whose value is the same in rows that no split may divide")
    parser.add_argument(
        "--baselines",
        type=list[Baseline],
        default=[SIMPLE],
        help="for comparison: simple alternatives, and students made in other ways",
    )
    set_by_stages = {
        "model_name_or_path",
        "seed",
        "cut_seed",
        "use_unlabelled",
        "expected_content",
        "batches_per_epoch",
    }
    parser.add_class_arguments(DataSettings, "data", skip=set_by_stages)
    parser.add_class_arguments(SlurmSettings, "slurm")
    for name, part in PARTS.items():
        parser.add_class_arguments(part, name)
    return parser


def read_settings(args: list[str]) -> tuple[RunSettings, str, RunOptions]:
    """Read the options of `stark run`.

    Args:
        args: The command line after `run`.

    Returns:
        The settings, a YAML text that reproduces them, and the options of this call.

    Raises:
        StarkError: If a value is out of range.
        SystemExit: With status 2 if an option or key is unknown or of the wrong type.
    """
    options_parser = parser()
    parsed, options = _parsed(options_parser, args)
    _describe_rows_(parsed)
    with step("checking the settings"):  # which imports libraries, and takes seconds
        settings = _checked(parsed, options)
    return settings, options_parser.dump(parsed, format="yaml", skip_none=False), options


def try_settings(args: list[str]) -> tuple[RunSettings, str]:
    """Read the options of one of many runs, without a word about it.

    Args:
        args: The command line after `run`.

    Returns:
        The settings, and a YAML text that reproduces them.

    Raises:
        StarkError: As `read_settings`.
        SystemExit: As `read_settings`.
    """
    options_parser = parser()
    parsed, options = _parsed(options_parser, args)
    for name in _COLUMNS:
        parsed.pop(name)
    return _checked(parsed, options), options_parser.dump(parsed, format="yaml", skip_none=False)


def setting_names() -> list[str]:
    """The full names of the settings of a run, such as ``student.sparsity``, without the options of a call.

    Examples:
        >>> "student.sparsity" in setting_names(), "workers" in setting_names()
        (True, False)
    """
    names = [action.dest for action in parser()._actions]
    return [name for name in names if name.split(".")[0] not in _OF_A_CALL and name not in ("data", *PARTS)]


def _parsed(options_parser: OneLineErrors, args: list[str]) -> tuple[Namespace, RunOptions]:
    """Parse options, and take those of the call out of them."""
    parsed = options_parser.parse_args(args)
    for name in ("data", "slurm", *PARTS):
        if not isinstance(parsed[name], Namespace):
            raise StarkError(f"{name} is {parsed[name]!r}: it must be a mapping of settings, or left out")
    options = RunOptions(
        workers=parsed.pop("workers"),
        executor=parsed.pop("executor"),
        slurm=SlurmSettings(**parsed.pop("slurm").as_dict()),
        dry_run=parsed.pop("dry_run"),
        start=parsed.pop("from"),
        seconds=None if (given := parsed.pop("time")) is None else seconds_of(given),
    )
    check_ranges("slurm", options.slurm)
    EXECUTORS[options.executor].check()
    if options.workers < 1:
        raise StarkError(f"workers is {options.workers}: give at least 1")
    if options.seconds is not None and (parsed.distillation.steps is not None or parsed.search.mode == "halving"):
        raise StarkError(
            "time chooses distillation.steps: leave out distillation.steps, and take another search.mode than halving"
        )
    return parsed, options


def _describe_rows_(parsed: Namespace) -> None:
    """Let rows as the task be ones that a description names, which lies beside the run's folder."""
    texts = [text for text in (parsed.pop("text"), parsed.pop("text_pair")) if text is not None]
    label, group, rows = parsed.pop("label"), parsed.pop("group"), parsed.data.task
    if not is_rows(rows):
        if texts or label or group:
            raise StarkError(
                f"data.task is {rows}, whose columns are known: --text, --text_pair, --label and --group are for "
                "rows, such as rows.csv or the folder of a data set"
            )
        return
    _check_place(parsed.name)
    parsed.data.task = described(rows, rows_folder(parsed.root, parsed.name), texts, label, group)


def _checked(parsed: Namespace, options: RunOptions) -> RunSettings:
    """Make the settings from parsed options, whose paths become absolute, and check them."""
    plugins = load_plugins(parsed.plugins)
    parsed.plugins = [str(plugin.path) for plugin in plugins]
    if parsed.data.masked_language_model is None and "masked_lm" in (parsed.data.changes or ()):
        parsed.data.masked_language_model = parsed.model_name_or_path
    _make_absolute_(parsed)
    parts = {name: part(**parsed[name].as_dict()) for name, part in PARTS.items()}
    for name, part in parts.items():
        check_ranges(name, part)
    _check_search(parts["teacher"], parts["search"], parts["distillation"], parts["student"])
    if parts["student"].path_teaches and any(parts["teacher"].sparsities):
        raise StarkError(
            f"teacher.sparsities are {parts['teacher'].sparsities}, but student.path_teaches makes the students on the "
            "path the teachers: set teacher.sparsities to []"
        )
    needing = [name for name in parsed.baselines if name not in _WITHOUT_CANDIDATES]
    if needing and not any(parts["teacher"].sparsities):
        raise StarkError(
            f"baselines contain {', '.join(needing)}, for comparison with sparse teachers, but teacher.sparsities are "
            f"{parts['teacher'].sparsities}: name some, such as [0.1,0.2], or leave these baselines out"
        )
    if parts["student"].path and "teacher_assistant" in parsed.baselines:
        raise StarkError(
            "baselines contain teacher_assistant, which is cut from the dense teacher by the student's scores, but "
            "with student.path the student is cut from another model: leave one of the two out"
        )
    if parts["distillation"].teacher_answers is not None and any(parts["teacher"].sparsities):
        raise StarkError(
            f"teacher.sparsities are {parts['teacher'].sparsities}, but distillation.teacher_answers take the place of "
            "the teacher: set teacher.sparsities to []"
        )
    _check_place(parsed.name)
    _check_accelerator(parts["trainer"].accelerator)
    if options.executor == "local":
        _warn_of_shared_gpus(options.workers, parts["trainer"])
    prepare_loggers(parts["trainer"].loggers)
    loggers = parts["trainer"].loggers
    for name, values in (("seeds", parsed.seeds), ("baselines", parsed.baselines), ("trainer.loggers", loggers)):
        if len(set(values)) < len(values):
            raise StarkError(f"{name} are {values}: name each one once")
    for seed in (parsed.seed, *parsed.seeds):
        if not 0 <= seed <= _MOST_SEED:
            raise StarkError(f"seed is {seed}: choose one from 0 to {_MOST_SEED}")
    settings = RunSettings(
        model_name_or_path=parsed.model_name_or_path,
        name=parsed.name,
        root=parsed.root,
        seed=parsed.seed,
        data=parsed.data.as_dict(),
        seeds=parsed.seeds,
        workers=options.workers,
        executor=options.executor,
        slurm=options.slurm,
        baselines=parsed.baselines,
        plugins=plugins,
        **parts,
    )
    # This checks the task and the ranges of its settings now, not after the first stage.
    data = DataSettings(model_name_or_path=settings.model_name_or_path, seed=settings.seed, **settings.data)
    _check_weights(settings, data.task)
    return settings


def _make_absolute_(parsed: Namespace) -> None:
    """Make the paths of local files absolute, so that the run's `config.yaml` works from any folder."""
    parsed.root = _absolute(parsed.root)
    # Otherwise it is the id of a model on the hub.
    if Path(parsed.model_name_or_path).is_dir():
        parsed.model_name_or_path = _absolute(parsed.model_name_or_path)
    if parsed.data.masked_language_model is not None and Path(parsed.data.masked_language_model).is_dir():
        parsed.data.masked_language_model = _absolute(parsed.data.masked_language_model)
    if is_description(parsed.data.task):
        parsed.data.task = _absolute(parsed.data.task)
    for name in ("data_dir", "cache_dir"):
        if parsed.data[name] is not None:
            parsed.data[name] = _absolute(parsed.data[name])
    if parsed.data.unlabelled is not None:
        parsed.data.unlabelled = [_absolute(path) for path in parsed.data.unlabelled]
    if parsed.distillation.teacher_answers is not None:
        parsed.distillation.teacher_answers = [_absolute(path) for path in parsed.distillation.teacher_answers]


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _check_search(
    teacher: TeacherSettings, search: SearchSettings, distillation: DistillationSettings, student: StudentSettings
) -> None:
    if search.mode == "none" and len(teacher.lams or [None]) * len(teacher.sparsities) > 1:
        raise StarkError(
            f"search.mode is none, but teacher.lams are {teacher.lams} and teacher.sparsities {teacher.sparsities}: "
            "give at most one of each, or choose a mode that searches"
        )
    if search.mode == "halving" and distillation.weights == "averaged":
        raise StarkError(
            "search.mode is halving, but distillation.weights is averaged: halving compares students in the middle of "
            "their fits, whose weights are averaged at the end; choose another mode, or distillation.weights best"
        )
    if search.mode == "halving" and student.is_gradual:
        raise StarkError(
            f"search.mode is halving, but student.cuts is {student.cuts}: halving compares students in the middle of "
            "their fits, before their last cut; choose another mode, or student.cuts 1"
        )


def _warn_of_shared_gpus(workers: int, trainer: TrainerSettings) -> None:
    # Imported here, as it takes seconds and is not needed earlier.
    from pytorch_lightning.accelerators import CUDAAccelerator

    gpus = 0 if trainer.accelerator == "cpu" else CUDAAccelerator.auto_device_count()
    if gpus and workers * trainer.devices > gpus:
        _log.warning(
            "workers is %d, but there are GPUs for %d: fits that share a GPU are not faster than one after the other",
            workers,
            max(gpus // trainer.devices, 1),
        )


def _check_weights(settings: RunSettings, task: Task) -> None:
    for name in ("finetuning", "distillation"):
        try:
            task.problem.for_train(task.problem.unlabelled_rows(0), getattr(settings, name).class_weights)
        except StarkError as error:
            raise StarkError(f"{name}.{error}") from error


def _check_place(name: str) -> None:
    path = Path(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise StarkError(f"name is {name!r}: give a name for a folder under --root")


def _check_accelerator(name: str) -> None:
    # Imported here, as it takes seconds and is not needed earlier.
    from pytorch_lightning.accelerators import AcceleratorRegistry

    known = AcceleratorRegistry.available_accelerators()
    if name not in ("auto", "gpu", *known):
        raise StarkError(f"trainer.accelerator is {name!r}: choose one of auto, gpu, {', '.join(known)}")
    classes = {key: AcceleratorRegistry[key]["accelerator"] for key in known}
    wanted = [classes[key] for key in ("cuda", "mps")] if name == "gpu" else [classes[name]] if name in classes else []
    if wanted and not any(accelerator.is_available() for accelerator in wanted):
        raise StarkError(f"trainer.accelerator is {name!r}, but this machine has none: choose another, such as auto")
