"""`stark shrink`: cuts a classifier that is trained already to a size, and checks what was promised."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from jsonargparse import Namespace

from datamodules import is_description
from pipeline.deploy.export.export import export_model
from pipeline.deploy.model_data import config_of, data_of
from pipeline.deploy.trim import trim_model
from pipeline.parsing.plain_text import PlainConsole
from pipeline.parsing.progress import step
from pipeline.results.summary import Summary
from pipeline.run_folder import RunFolder
from pipeline.shrinking.promises import Form, Promise, cost_of, measured, read_promise, sparsity_within
from pipeline.shrinking.task import RowsTask, write_task
from stark.budgets.checks import check_sparsity
from stark.encoders.families.table import family_of_type
from stark.errors import StarkError
from stark.model_folders.foreign import CONFIG_FILE, MODEL_FILES, TOKENIZER_READS, check_local, one_line_errors
from stark.model_folders.model_folder import load_classifier, load_tokenizer, model_digest
from stark.model_folders.model_inputs import ModelInputs
from stark.storage import write_json
from stark.vocabulary.needed import needed_tokens
from stark.vocabulary.trimming import trim_embeddings_, trim_tokenizer

__all__ = ["Plan", "conclude", "plan_run"]

_LENGTH = 128
# Without training, rows are only scored and refitted on, which this many rows suffice for.
_ROWS = 2000
# Sparsities beyond which removing tokens costs less than removing more units, without training and with it. Measured on
# CLINC150 in 9 MB (ONNX, int8), untrained: 3,560 tokens and a sparsity of 0.36 agree with the model in 90 % of the
# rows, 12,710 tokens and 0.72 in 82 %.
_FIRST, _FIRST_TRAINED = 0.4, 0.7
_ASKED = ("sparsity", "flops", "size", "latency")


@dataclass(frozen=True)
class Plan:
    """What `stark shrink` is going to do.

    Args:
        arguments: The command line of the run.
        run: The run's folder.
        form: The form in which the model is used.
        promise: What it may cost; None where a sparsity was asked for.
        before: Score of the model on dev with all its tokens, if some were removed.
        has_labels: Whether the rows have labels of their own; otherwise a score is the agreement with the model.
    """

    arguments: list[str]
    run: RunFolder
    form: Form
    promise: Promise | None
    before: float | None
    has_labels: bool


def plan_run(options: Namespace) -> Plan:
    """Find the columns of the rows and the sparsity that keeps the promise.

    Args:
        options: The command line of `stark shrink`, parsed.

    Returns:
        The plan, with the command line of the run that does the rest.

    Raises:
        StarkError: If an option is wrong, the columns are not found, or the promise cannot be kept.
    """
    asked = [name for name in _ASKED if options[name] is not None]
    if len(asked) != 1:
        raise StarkError(
            f"{' and '.join(f'--{name}' for name in asked) or 'nothing'} is asked for: give one of --sparsity 0.7, "
            "--flops 0.3, --size 10MB and --latency 5ms"
        )
    if options.int8 and options.format is None:
        raise StarkError("--int8 needs a format: give --format onnx, openvino or torch")
    model = _local(options.model)
    name = options.name or f"{Path(options.model).resolve().name}-small"
    run, rows = RunFolder(Path(options.root) / name), Path(options.root) / f"{name}-rows"
    texts = [text for text in (options.text, options.text_pair) if text is not None]
    if is_description(options.data):
        task = RowsTask(Path(options.data), has_labels=True)
    else:
        task = write_task(model, options.data, rows, texts, options.label)
    form, before, promise, budget = Form(options.format, options.int8), None, None, None
    if options.sparsity is not None:
        sparsity = check_sparsity(options.sparsity)
    elif options.flops is not None:
        if not 0 < options.flops <= 1:
            raise StarkError(f"flops is {options.flops:g}: give the fraction to keep, above 0 and at most 1")
        sparsity, budget = 1 - options.flops, "stark.FLOPs"
    else:
        inputs = ModelInputs.read(config_of(model))
        length = min(_LENGTH, _LENGTH if inputs is None else inputs.max_length)
        promise = read_promise("size" if options.size else "latency", options.size or options.latency, length)
        first = _FIRST if options.train == "0" else _FIRST_TRAINED
        kept = _kept_before(promise, form, model, task.path, rows, first)
        sparsity, model, before = kept.sparsity, Path(kept.model), kept.before
    arguments = [
        *("--config", "configs/run.yaml", "--name", name, "--root", options.root, "--seed", str(options.seed)),
        *("--model_name_or_path", str(model), "--data.task", str(task.path), *_shape(model)),
        *("--finetuning.epochs", "0", "--search.mode", "none", "--baselines", "[]"),
        *("--student.sparsity", f"{sparsity:.6g}"),
        *(() if budget is None else ("--student.budget", budget)),
        *_training(options.train, model),
    ]
    return Plan(arguments, run, form, promise, before, task.has_labels)


def conclude(plan: Plan, max_loss: float | None) -> None:
    """Export the student of the run, check the promise on what was written, and say how it ended.

    Args:
        plan: The plan, whose run has ended.
        max_loss: Largest allowed loss of the score in points; None for any.

    Raises:
        StarkError: If the promise is not kept, or the score fell by more.
    """
    summary, student = Summary.read(plan.run.root), plan.run.student.path
    target, after = student, summary.best.dev_score
    if plan.form.format is not None:
        target = student.with_name(f"{student.name}-{plan.form.format}{'-int8' if plan.form.int8 else ''}")
        with step(f"exporting {student} to {target}"):
            check = export_model(
                student,
                plan.form.format,
                target,
                data_of(student),
                int8=plan.form.int8,
                max_logit_difference=float("inf") if plan.form.int8 else 1e-3,
                max_score_loss=1.0,
            )
        after = check.score
    before = summary.models[0].dev_score if plan.before is None else plan.before
    what = "score" if plan.has_labels else "agreement with the model"
    console, rows = PlainConsole(), f"{what} on held-out rows {before:.4f} -> {after:.4f}"
    reached = None
    if plan.promise is not None:
        reached = measured(target, plan.form, plan.promise, load_classifier(student))
        of = f"a row of {plan.promise.length} tokens in " if plan.promise.kind == "latency" else ""
        rows = (
            f"asked: {of}{plan.promise.told(plan.promise.most)} ({plan.form}); reached: "
            f"{plan.promise.told(reached)}; {rows}"
        )
    console.print(rows, highlight=False, soft_wrap=True)
    console.print(f"{target}", highlight=False, soft_wrap=True)
    if plan.promise is not None and reached is not None and reached > plan.promise.most:
        raise StarkError(
            f"{plan.promise.kind} is {plan.promise.told(reached)}, not {plan.promise.told(plan.promise.most)} as asked "
            "for: perhaps the machine was busy; try again, or ask for a little less"
        )
    if max_loss is not None and 100 * (before - after) > max_loss:
        raise StarkError(
            f"the score fell by {100 * (before - after):.2f} points, more than --max_loss {max_loss:g}: train longer "
            "(--train), or allow a larger model"
        )


def _local(name: str) -> Path:
    """The folder of a model; one of the hub is downloaded."""
    folder = Path(name)
    with one_line_errors(name):
        check_local(name)
        if folder.is_dir():
            return folder
        wanted = [CONFIG_FILE, *MODEL_FILES, *TOKENIZER_READS]
        with step(f"downloading {name}"):
            return Path(snapshot_download(name, allow_patterns=wanted))


@dataclass(frozen=True)
class Kept:
    """How a promise is kept.

    Args:
        sparsity: The sparsity of the student.
        model: Folder of the model that is cut: the given one, or the same without the tokens that are not needed.
        before: Score of the given model on dev, if tokens were removed.
    """

    sparsity: float
    model: str
    before: float | None


def _kept_before(promise: Promise, form: Form, model: Path, task: Path, rows: Path, first: float) -> Kept:
    """How a promise is kept, as an earlier call with the same model and rows has found.

    A latency that is measured again would be another one, and a run that goes on would begin again.
    """
    asked = {
        **{"promise": asdict(promise), "form": asdict(form), "first": first},
        **{"model": model_digest(model), "rows": data_of(model, str(task)).contents()},
    }
    path = rows / "promise.json"
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["asked"] == asked and Path(found["kept"]["model"]).is_dir():
            return Kept(**found["kept"])
    kept = _keep(promise, form, model, task, rows / "model", first)
    write_json(path, {"asked": asked, "kept": asdict(kept)})
    return kept


def _keep(promise: Promise, form: Form, model: Path, task: Path, trimmed: Path, first: float) -> Kept:
    """How a promise is kept.

    Tokens are removed where a size cannot be had with the sparsity ``first``: so many that it can, but none that the
    rows need.
    """
    with step(f"looking for the sparsity for {promise.told(promise.most)}") as advance:
        classifier, tokenizer = load_classifier(model), load_tokenizer(model)
        cost = cost_of(classifier, tokenizer, form, promise, advance)
        if promise.kind == "latency" or cost(first) <= promise.most:
            return Kept(sparsity_within(cost, promise), str(model.absolute()), None)
        data = data_of(model, str(task))
        keep = needed_tokens(tokenizer, data.training_texts())
        if len(keep) == len(tokenizer):
            return Kept(sparsity_within(cost, promise), str(model.absolute()), None)
        least_tokenizer = trim_tokenizer(tokenizer, keep)
        trim_embeddings_(classifier, keep)
        least = cost_of(classifier, least_tokenizer, form, promise, advance)(first)
        per_token = (cost(first) - least) / (len(tokenizer) - len(keep))
        tokens = len(keep) + max(int((promise.most - least) / per_token), 0)
        found = trim_model(model, trimmed, data, tokens, max_score_loss=1.0)
        classifier, tokenizer = load_classifier(trimmed), load_tokenizer(trimmed)
        sparsity = sparsity_within(cost_of(classifier, tokenizer, form, promise, advance), promise)
    print(
        f"{found.before.tokens:,} -> {found.after.tokens:,} tokens: score {found.before.score:.4f} -> "
        f"{found.after.score:.4f} on held-out rows, before anything else is removed",
        file=sys.stderr,
    )
    return Kept(sparsity, str(trimmed.absolute()), found.before.score)


def _shape(model: Path) -> tuple[str, ...]:
    """How the model's rows were prepared, if it says so."""
    inputs = ModelInputs.read(config_of(model))
    if inputs is None:
        return ()
    return ("--data.max_length", str(inputs.max_length), "--data.segment_ids", inputs.segment_ids)


def _training(train: str, model: Path) -> tuple[str, ...]:
    if train == "0":
        rows = ("--scoring.split", "train", "--data.train_limit", str(_ROWS))
        refit = "false" if family_of_type(config_of(model).model_type).shares_layers else "true"
        return ("--distillation.epochs", "0", "--student.refit", refit, *rows)
    return ("--time", train)  # a student that is trained does not profit from refitting (docs/results.md)
