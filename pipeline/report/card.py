"""`stark card`: a model card from the results of the run and the model folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # documented, not in its __all__
from jsonargparse import Namespace
from torch import Tensor
from transformers import AutoConfig

from datamodules import GLUE_HUB_ID, GLUETask, Task
from pipeline.deploy.model_data import check_labels, config_of, run_of, settings_of, task_of
from pipeline.execution.manifest import Manifest
from pipeline.execution.outputs import has_output, read_config, read_output
from pipeline.parsing.plain_text import printable
from pipeline.parsing.progress import step
from pipeline.report.measuring import measure_models
from pipeline.report.reading import read_run
from pipeline.report.usable import usable_models, verdict_lines
from pipeline.report.wording import environment, score_text, shape_text
from pipeline.results.classes import class_scores
from pipeline.results.markdown import as_code, as_text
from pipeline.results.summary import Model, Summary
from pipeline.run_folder import RunFolder
from stark.encoders.family import SHRUNK_PREFIX
from stark.errors import StarkError
from stark.forward.latency import device_text, spread_text, threads_text
from stark.model_folders.foreign import one_line_errors
from stark.problems.problem import Problem
from stark.problems.table import problem_of
from stark.storage import check_output, is_signed, signed, write_output

__all__ = ["card", "card_of", "entry_of"]

_RECIPE = ("seed", "seeds", "finetuning", "student", "distillation", "teacher", "search", "scoring")


def card(options: Namespace) -> None:
    """Run the command `stark card`.

    Args:
        options: The parsed command line.

    Raises:
        StarkError: If the model does not belong to a finished run.
        StarkFileExistsError: If the file exists and is not an unchanged card.
    """
    folder = Path(options.model)
    target = Path(options.output) if options.output else folder / "README.md"
    check_output(target, overwrite=options.overwrite, is_ours=is_signed)
    with step(f"making the card of {folder}"):
        made = card_of(folder, licence=options.license, language=options.language, repo=options.repo)
    write_output(target, signed(str(made).rstrip()), overwrite=options.overwrite, is_ours=is_signed)
    print(printable(str(target)))


def card_of(
    folder: Path, *, licence: str | None = None, language: str | None = None, repo: str | None = None
) -> ModelCard:
    """Make a model card.

    Args:
        folder: Folder of a model of a finished run.
        licence: Licence, as the hub spells it.
        language: Language of the texts.
        repo: Id on the hub.

    Returns:
        The card, with the hub's metadata.

    Raises:
        StarkError: If the model does not belong to a finished run.
    """
    run, entry = entry_of(folder)
    names = RunFolder(run)
    dense = names.dense_teacher.name
    summary, settings = Summary.read(run), read_config(run)[1]
    data = settings_of(folder)
    task = task_of(folder)
    assert task is not None  # it lies in a run
    check_labels(folder, task)
    tensors = read_output(run, names.dev_logits.name)
    models = {"teacher": [dense], "this model": [entry.folder]}
    measured = measure_models(run, models, tensors, tensors["labels"], task.problem, summary.metrics_of_score)
    entries = [next(model for model in summary.models if model.folder == found.folder) for found in measured]
    with one_line_errors(folder):
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    base = str(settings["model_name_or_path"])
    name = (repo or f"{settings['name']}-{folder.resolve().name}").rsplit("/", 1)[-1]
    metadata = ModelCardData(
        model_name=name,
        license=licence,
        language=language,
        base_model=base if _is_on_hub(base) else None,
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["distillation", "pruning", "stark"],
        datasets=[GLUE_HUB_ID] if isinstance(task, GLUETask) else None,
        metrics=list(task.metrics),
        eval_results=[_result(task, metric_name, entry.dev[metric_name]) for metric_name in task.metrics],
    )
    said = {
        name: task.problem.of_model(config_of(run / name)).for_metrics(tensors[name]) for name in (entry.folder, dense)
    }
    here = environment()
    # What a report has measured; a card makes no exports. Its notes could name folders of this machine.
    usable = usable_models(read_run(run), measure=False)
    made: ModelCard = ModelCard.from_template(
        metadata,
        template_str=(files("pipeline.report") / "card.md").read_text(),
        name=as_text(name),
        what=as_text(_what(entry, task)),
        rule=problem_of(config).rule,
        labels=as_text(", ".join(str(config.id2label[number]) for number in range(config.num_labels))),
        shrunk=config.model_type.startswith(SHRUNK_PREFIX),
        repo=json.dumps(repo or folder.resolve().name, ensure_ascii=False),
        pair=task.is_pair,
        max_length=data["max_length"],
        task=as_text(f"{task.name} (GLUE)" if isinstance(task, GLUETask) else f"{task.name} (own data)"),
        caution=", and chosen by as well" if data.get("selection") == "validation" else "",
        metrics=list(task.metrics),
        results=[
            [found.name, *(f"{100 * model.dev[name]:.1f}" for name in task.metrics), score_text(found)]
            for found, model in zip(measured, entries, strict=True)
        ],
        seeds_text=_seeds(summary),
        classes=_classes(said[entry.folder], said[dense], tensors["labels"], task.problem),
        sizes=[
            [
                found.name,
                f"{found.parameters / 1e6:.1f} M",
                f"{found.encoder_parameters / 1e6:.1f} M",
                f"{found.megabytes:.0f} MB",
                f"{found.gflops:.2f}",
            ]
            for found in measured
        ],
        tokens=measured[0].tokens,
        names=[found.name for found in measured],
        latencies=[
            [
                f"{device_text(device)}, {rows} x {length}",
                *(spread_text(found.latency[device][rows, length]) for found in measured),
            ]
            for device, shapes in measured[0].latency.items()
            for rows, length in shapes
        ],
        machine=", ".join(
            filter(
                None,
                (
                    *(here["processor"], threads_text(), here.get("GPU"), f"torch {here['torch']}"),
                    f"measured {measured[0].measured}",
                ),
            )
        ),
        lineage=_lineage(base, settings, entry, is_teacher=entry.folder == dense),
        recipe=yaml.safe_dump({key: settings[key] for key in _RECIPE if key in settings}, sort_keys=False).rstrip(),
        calibration="" if measured[-1].calibration is None else f"{measured[-1].calibration:.3f}",
        licence=licence,
        verdict=[as_text(line) for line in verdict_lines(replace(usable, notes=[]))],
    )
    return made


def _classes(said: Tensor, teacher: Tensor, labels: Tensor, problem: Problem) -> list[list[str]]:
    """Rows of the table of classes; none where there are no classes."""
    found = class_scores(said, teacher, labels, problem) or []
    return [
        [
            as_text(entry.label),
            str(entry.rows),
            *(f"{100 * value:.1f}" for value in (entry.f1, entry.precision, entry.recall)),
        ]
        for entry in found
    ]


def entry_of(folder: Path) -> tuple[Path, Model]:
    """The run of a model, and the model in the run's results.

    Args:
        folder: Folder of the model.

    Returns:
        The run's folder and the measured model. For ``student`` this is the chosen model.

    Raises:
        StarkError: If there is no such run, it is not finished, or it did not measure the model.
    """
    run = run_of(folder)
    if run is None:
        raise StarkError(f"{folder} lies in no run of `stark run`, which would know what it is")
    names = RunFolder(run)
    if not has_output(Manifest.read(run), names.summary.name):
        raise StarkError(f"{run} is not finished, it has no {names.summary.name}: give its command again")
    summary = Summary.read(run)
    place = folder.resolve().relative_to(run).as_posix()
    place = summary.best.folder if place == names.student.name else place
    for model in summary.models:
        if model.folder == place:
            return run, model
    known = ", ".join(model.folder for model in summary.models)
    raise StarkError(f"{folder} is none of the models that {run} measured: name student, {known}")


def _result(task: Task, metric: str, value: float) -> EvalResult:
    is_glue = isinstance(task, GLUETask)
    return EvalResult(
        task_type="text-classification",
        dataset_type=GLUE_HUB_ID if is_glue else task.name,
        dataset_name=f"GLUE {task.name}" if is_glue else task.name,
        dataset_config=task.hub_config if isinstance(task, GLUETask) else None,
        dataset_split=task.hub_splits["dev"] if isinstance(task, GLUETask) else "dev",
        metric_type=metric,
        metric_value=round(value, 4),
    )


def _is_on_hub(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return not Path(name).exists()


def _what(entry: Model, task: Task) -> str:
    kind = "pairs of texts" if task.is_pair else "texts"
    verb = "classifies" if task.problem.has_classes else "scores"
    lost = entry.achieved
    size = f"{lost.heads:.0%} of the attention heads and {lost.neurons:.0%} of the FFN neurons removed"
    return f"This model {verb} {kind} ({task.name}), with {size}."


def _seeds(summary: Summary) -> str:
    seeds = len(summary.best_by_method)
    return f"; the run had {seeds} seeds, this model is of one" if summary.has_seeds else ", with one seed"


def _lineage(base: str, settings: Mapping[str, Any], entry: Model, *, is_teacher: bool) -> Sequence[str]:
    # Only the name of a folder: its path would reveal a place on somebody's machine.
    name = base if _is_on_hub(base) else Path(base).resolve().name
    lines = [f"{as_code(name)}, finetuned: the dense teacher"]
    if (lost := entry.teacher_achieved) is not None:
        score = "score" if entry.lam is None else f"knowledgeable score (lam {entry.lam:g})"
        gone = f"{lost.heads:.0%} of heads and {lost.neurons:.0%} of neurons"
        lines.append(f"The sparse teacher: without the {gone} of the lowest {score}")
    if not is_teacher:
        shape = shape_text(settings["student"])
        lines.append(f"The student: the dense teacher with {shape}, then trained ({as_code(entry.name)})")
    return lines
