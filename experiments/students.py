"""Runs a recipe in a cell by `stark run`, and collects its students' results."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules import open_task
from experiments.data import TASKS, write_task
from experiments.plan import Cell, Plan, Recipe
from experiments.results import INT8_TEACHER, TEACHER, Results, Row
from pipeline.deploy.classifier import open_classifier
from pipeline.execution.outputs import read_output
from pipeline.fits.isolation import stark_command
from pipeline.report.quantised import dev_logits, quantised_teacher
from pipeline.results.summary import SCORE, Model, Summary
from pipeline.run_folder import RunFolder
from stark.model_folders.model_folder import load_classifier
from stark.problems.table import problem_of

__all__ = ["Places", "measure", "run_settings"]

# A second evaluation: GLUE's dev split of SST-2.
_GLUE_DEV = "glue_dev.csv"


@dataclass(frozen=True)
class Places:
    """Where things are.

    Args:
        encoder: Model folder of the encoder.
        data: Folder of the original data, with ``glue`` and ``own``.
        root: Folder of the runs.
    """

    encoder: Path
    data: Path
    root: Path


def run_settings(plan: Plan, cell: Cell, recipe: Recipe, places: Places) -> dict[str, Any]:
    """The options of `stark run`.

    Args:
        plan: The plan.
        cell: The cell.
        recipe: The recipe.
        places: Where things are.

    Returns:
        Values by name without ``--``. ``{data}`` in a text is the folder of the task's files.
    """
    if cell.task in TASKS:
        description = write_task(cell.task, places.data, places.root / "data")
        data = {"data.task": str(description)}
    else:
        description, data = places.data / "glue", {"data.task": cell.task, "data.data_dir": str(places.data / "glue")}
    # The first cell with these rows trains the teacher of all.
    first = next(one for one in plan.cells if one.teacher == cell.teacher)
    start: dict[str, Any] = {"model_name_or_path": str(places.encoder)}
    if cell != first:
        start = {"model_name_or_path": str(RunFolder(places.root / first.name).dense_teacher.path)}
        start["finetuning.epochs"] = 0
    settings = {
        **plan.settings,
        **plan.tasks[cell.task],
        **cell.settings,
        **data,
        **({} if cell.labels is None else {"data.labelled_limit": cell.labels}),
        "student.sparsity": cell.sparsity,
        "distillation.steps": round(cell.steps * recipe.steps),
        "seeds": list(plan.seeds),
        **start,
        **recipe.settings,
    }
    return {name: _filled(value, str(description.parent)) for name, value in settings.items()}


def _filled(value: Any, folder: str) -> Any:  # noqa: ANN401 - any value of YAML
    if isinstance(value, str):
        return value.replace("{data}", folder)
    return [_filled(item, folder) for item in value] if isinstance(value, list) else value


def measure(plan: Plan, cell: Cell, recipe: Recipe, places: Places, results: Results) -> None:
    """Run a recipe, unless its results are there, and add them.

    Args:
        plan: The plan.
        cell: The cell.
        recipe: The recipe.
        places: Where things are.
        results: The results.

    Raises:
        subprocess.CalledProcessError: If the run fails.
    """
    results.read()
    if results.has(cell.name, recipe.name, plan.seeds):
        return
    command = ["run", "--name", cell.name, "--root", str(places.root)]
    for name, value in run_settings(plan, cell, recipe, places).items():
        command += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    print(f"\n== {cell.name}: {recipe.name} ==\n{' '.join(command)}", flush=True)
    subprocess.run(stark_command(command), check=True)
    _collect(plan, cell, recipe, places, results)


def _collect(plan: Plan, cell: Cell, recipe: Recipe, places: Places, results: Results) -> None:
    folder = places.root / cell.name
    summary = Summary.read(folder)
    logits = read_output(folder, RunFolder(folder).dev_logits.name)
    labels = logits.pop("labels")
    problem = problem_of(load_classifier(RunFolder(folder).dense_teacher.path).config)
    second = places.root / "data" / cell.task / _GLUE_DEV
    rows, predictions = [], dict[str, Tensor]()
    for name, models in _by_recipe(summary, recipe).items():
        predictions[name] = torch.stack([problem.predictions(logits[model.folder]) for model in models])
        for model in models:
            numbers = dict(model.dev)
            if second.is_file():
                numbers["glue_dev_accuracy"] = _accuracy(folder / model.folder, second)
            rows += [
                Row(cell.name, name, model.seed, metric, value, model.seconds) for metric, value in numbers.items()
            ]
    for alternative in summary.alternatives or ():
        predictions[alternative.name] = logits[alternative.folder][None]
        rows += [Row(cell.name, alternative.name, None, *number, None) for number in alternative.dev.items()]
    if summary.alternatives is not None and INT8_TEACHER not in results.predictions(cell.name):
        said = problem.predictions(_int8_teacher(folder))
        predictions[INT8_TEACHER] = said[None]
        score = problem.score_function(summary.score_metrics or problem.default_metrics)(said, labels)
        rows.append(Row(cell.name, INT8_TEACHER, None, SCORE, score, None))
    results.add(cell.name, rows, labels, predictions)


def _int8_teacher(folder: Path) -> Tensor:
    """Logits of the teacher with weights of 8 bits for dev."""
    run = RunFolder(folder)
    exported = quantised_teacher(run, make=True)
    if exported is None:
        raise FileNotFoundError(f"{folder}: the teacher with 8 bits was not made")
    return dev_logits(run, exported)


def _by_recipe(summary: Summary, recipe: Recipe) -> Mapping[str, Sequence[Model]]:
    """The models of a run by the recipe that made them: the teacher, the recipe's own students, those of baselines."""
    teacher, *models = summary.models
    students = [model for model in models if model.seed is not None and model.baseline is None]
    # Where there are sparse teachers, the dense teacher's student is that of another recipe.
    own = [model for model in students if model.teacher_sparsity] or students
    found = {TEACHER: [teacher], recipe.name: own}
    for model in models:
        if model.baseline is not None:
            found.setdefault(model.baseline, []).append(model)
    return {name: sorted(models, key=lambda model: model.seed or 0) for name, models in found.items()}


def _accuracy(model: Path, file: Path) -> float:
    task = open_task(str(file.with_name(f"{file.parent.name}.yaml")))
    rows = _lines(file)
    classifier = open_classifier(model)
    found = classifier([text for text, _ in rows], batch_size=64).predictions
    return float((found == torch.tensor([task.label_names.index(label) for _, label in rows])).double().mean())


def _lines(file: Path) -> list[tuple[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return [(text, label) for text, label in list(csv.reader(stream))[1:]]
