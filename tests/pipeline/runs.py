"""Runs on tiny data, for the tests of the pipeline."""

import json
import pkgutil
import shutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch

from pipeline import stages
from pipeline.execution.manifest import Manifest
from pipeline.results.summary import Asked, Choice, Model, Removed, Summary
from stark.model_folders.model_folder import load_classifier
from stark.storage import file_digest
from tests.tasks import TinyTask

SEED = 776


def options(task: TinyTask, folder: Path, *more: str) -> list[str]:
    """The command line of a run with sparse teachers of 20 and 40 %."""
    return [
        *("run", "--config", "configs/run.yaml", "--root", str(folder), "--name", "tiny"),
        *("--model_name_or_path", str(task.encoder), "--data.task", "sst2", "--data.data_dir", str(task.data_dir)),
        *("--data.cache_dir", str(task.cache), "--data.batch_size", "16", "--teacher.sparsities", "[0.0,0.2,0.4]"),
        *("--finetuning.epochs", "1", "--distillation.epochs", "2", "--distillation.learning_rate", "1e-3"),
        # The simple alternatives and the teacher's hidden states take seconds, and have tests of their own.
        *("--baselines", "[]", "--distillation.loss", "null"),
        *more,
    ]


def read(folder: Path) -> dict:
    """The summary of a run."""
    return json.loads((folder / "summary.json").read_text())


def leave(folder: Path, name: str, content: str) -> None:
    """Write a file of a run and record it in the manifest, as the run itself would."""
    (folder / name).write_text(content)
    manifest, digest = Manifest.read(folder), file_digest(folder / name)
    if name == "config.yaml":
        manifest.config = digest
    else:
        manifest.stages["evaluate"].outputs[name] = digest
    manifest.write()


def copy_begun(run: Path, folder: Path, *lacking: str) -> Path:
    """Copy a finished run to a state in which some stages have not begun.

    Args:
        run: Folder of the finished run.
        folder: Folder of the copy.
        lacking: Stages that the copy does not have; it does not have the final stages either.

    Returns:
        The copy's folder.
    """
    shutil.copytree(run, folder)
    manifest = Manifest.read(folder)
    manifest.forget({*lacking, "evaluate", "student"})
    manifest.write()
    for name in (*lacking, "student"):
        shutil.rmtree(folder / name)
    (folder / "summary.json").unlink()
    return folder


def model_of(folder: str = "finetune/model", score: float = 0.5, **known: object) -> Model:
    """A model of a summary; a test gives only the values that it needs."""
    values = {
        **{"name": "student", "asked": Asked(0.7, None), "seed": None, "teacher_sparsity": None, "lam": None},
        **{"baseline": None, "seconds": 12.3, "selection": {"accuracy": score, "score": score}, "parameters": 2},
        **{"encoder_parameters": 1, "achieved": Removed(0.0, 0.0), "dev": {"accuracy": score, "score": score}},
    }
    return Model(folder=folder, **{**values, **known})


def summary_of(*models: Model, choices: tuple[Choice, ...] = (), **known: object) -> Summary:
    """A summary of models, the last of which is the best."""
    values = {"task": "rte", "metric": "score", "seed": 7, "search": "exhaustive", "comparisons": []}
    models = models or (model_of(),)
    return Summary(models=list(models), best=models[-1], best_by_method=list(choices), **{**values, **known})


def without_seconds(summary: dict) -> dict:
    """The part of a summary that must be the same in each run."""
    models = [{**model, "seconds": 0} for model in summary["models"]]
    return {**summary, "models": models, "best": summary["best"]["folder"]}


def same_weights(first, second) -> bool:
    a, b = load_classifier(first).state_dict(), load_classifier(second).state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


NEEDED = ["--model_name_or_path", "bert", "--data.task", "rte", "--student.sparsity", "0.7"]


def home_of(name: str) -> ModuleType:
    """The module of `pipeline.stages` that defines a function."""
    modules = (import_module(f"pipeline.stages.{found.name}") for found in pkgutil.iter_modules(stages.__path__))
    (home,) = (m for m in modules if getattr(getattr(m, name, None), "__module__", None) == m.__name__)
    return home
