"""`stark export`: writes a classifier as ONNX, OpenVINO, torch.export or plain transformers, and checks the result."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from rich.table import Table
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from datamodules import GLUEDataModule
from pipeline.deploy.classifier import Answer, answer_of, open_answer
from pipeline.deploy.export.check import Alone, Check, TeacherForm, alone_text, change_text, write_check
from pipeline.deploy.export.dense import dense_form, family_config
from pipeline.deploy.export.formats import Format
from pipeline.deploy.export.graph_form import graph_form, int8_weights_
from pipeline.deploy.export.onnx import OPSET, to_onnx
from pipeline.deploy.export.opening import TORCH_FILE, is_exported, open_graph, quiet_exporters
from pipeline.deploy.export.openvino import to_openvino
from pipeline.deploy.export.torch_export import to_torch
from pipeline.deploy.export.torch_program import plain_archive
from pipeline.deploy.model_data import config_of, data_of, run_of
from pipeline.execution.belongings import is_export
from pipeline.parsing.extras import need_extra
from pipeline.parsing.plain_text import PlainConsole
from pipeline.parsing.progress import step
from pipeline.run_folder import RunFolder
from stark.errors import StarkError, StarkFileExistsError
from stark.forward.classifying import MODEL_INPUTS, Batch
from stark.forward.latency import Latency, measure_latency, spread_text, threads_text
from stark.model_folders.model_folder import load_classifier, load_tokenizer, model_digest, save_classifier
from stark.problems.problem import Problem
from stark.problems.table import problem_of
from stark.storage import check_output, new_folder, write_checksums

__all__ = ["export", "export_model", "megabytes_of", "open_written", "write_form"]


_EXTRAS = {
    "onnx": ("onnx", "onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino", "openvino", "nncf"),
}
_MOST_ALONE = 256
_SHAPES = ((1, 32), (1, 128), (32, 128))


def export(options: Namespace) -> None:
    """Run `stark export`.

    Args:
        options: Its command line, parsed.

    Raises:
        StarkError: If the exported model differs by more than the options allow; nothing is kept then.
    """
    folder, form = Path(options.model), options.format
    if options.max_logit_difference is None:
        options.max_logit_difference = float("inf") if options.int8 else 1e-3
    suffix = f"-{form}-int8" if options.int8 else f"-{form}"
    named = folder.resolve() if folder.name in ("", "..") else folder
    target = Path(options.output) if options.output else named.with_name(named.name + suffix)
    with step(f"exporting {folder} to {target}"):
        check = export_model(
            folder,
            form,
            target,
            data_of(folder, options.data.task, options.data.data_dir),
            int8=options.int8,
            max_logit_difference=options.max_logit_difference,
            max_score_loss=options.max_score_loss,
            teacher=_teacher_of(folder) if options.int8 else None,
            overwrite=options.overwrite,
        )
    _show(check, form, target)


def export_model(
    folder: Path,
    form: Format,
    target: Path,
    data: GLUEDataModule,
    *,
    int8: bool = False,
    max_logit_difference: float = 1e-3,
    max_score_loss: float = 0.01,
    teacher: Path | None = None,
    overwrite: bool = False,
) -> Check:
    """Export a model, run the written model on the dev rows, and keep it only if it agrees with the original.

    Batch size and length are dynamic. The folder also contains the tokenizer, the configuration of the original family,
    ``check.json`` and checksums.

    Args:
        folder: Folder of the model.
        form: ``onnx`` (a graph of opset 18 and its weights), ``torch`` (a file of `torch.export`), ``openvino``, or
            ``dense``: a model folder that plain transformers loads. Its dropped units are zeros, so that it is as large
            and as slow as the original model.
        target: Folder to write; an earlier export that was not changed since is replaced.
        data: Data module with the dev rows.
        int8: Whether to quantise to 8 bits: for onnx weights and activations of matrix products (dynamic
            quantisation), for openvino and torch only weights.
        max_logit_difference: Largest allowed difference between the logits of both models.
        max_score_loss: Largest allowed loss of the task's score.
        teacher: Folder of the dense teacher; it is exported in the same way and measured, but not kept. None for none.
        overwrite: Whether to replace a target that is no earlier export or was changed.

    Returns:
        Results of the check.

    Raises:
        StarkFileExistsError: If the target exists and must not be replaced.
        StarkError: If an extra is missing, the format has no int8, the model lies in the target, or the exported model
            differs by more than allowed.
    """
    if int8 and form == "dense":
        raise StarkError("--int8 is not for --format dense: choose onnx, openvino or torch")
    if form in _EXTRAS:
        need_extra(_EXTRAS[form][0], f"--format {form}", *_EXTRAS[form][1:])
    place = _free_place(folder, target, overwrite=overwrite)
    model, tokenizer = load_classifier(folder), load_tokenizer(folder)
    # Before anything is written, so that an error in the data is not reported as one of the disk.
    data.prepare_data()
    data.setup("test")
    with new_folder(place) as temporary:
        made, made_teacher = temporary / "made", temporary / "teacher"
        write_form(model, tokenizer, form, made, int8=int8)
        if teacher is not None:
            write_form(load_classifier(teacher), load_tokenizer(teacher), form, made_teacher, int8=int8)
        with step("checking the export on the development set, and measuring its latency"):
            check = _check(model, folder, made, made_teacher if teacher is not None else None, data, form, int8=int8)
        _refuse(check, max_logit_difference, max_score_loss)
        for file in made.iterdir():
            file.rename(temporary / file.name)
        made.rmdir()
        shutil.rmtree(made_teacher, ignore_errors=True)
        write_check(temporary, check)
        write_checksums(temporary)
    return check


def _free_place(folder: Path, target: Path, *, overwrite: bool) -> Path:
    place = check_output(target, overwrite=overwrite, is_ours=is_export)
    if place.exists() and not place.is_dir():
        raise StarkFileExistsError(f"{target} is no folder: choose another --output")
    if folder.resolve().is_relative_to(place):
        raise StarkError(f"the model lies in {target}: choose another --output")
    return place


def _teacher_of(folder: Path) -> Path | None:
    """The dense teacher of the run that a model lies in, unless it is the model itself."""
    run = run_of(folder)
    teacher = None if run is None else RunFolder(run).dense_teacher.path
    return None if teacher is None or not teacher.is_dir() or teacher == folder.resolve() else teacher


def write_form(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, form: Format, folder: Path, *, int8: bool
) -> None:
    """Write a model in a format, without checking it; see `export_model`.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        form: The format.
        folder: Folder to write.
        int8: Whether to quantise to 8 bits.
    """
    if form == "dense":
        save_classifier(dense_form(model), folder, tokenizer)
        return
    # Saved before it is used, because padding changes what a tokenizer writes into its file.
    tokenizer.save_pretrained(folder)
    sample = dict(tokenizer(["a b c", "d"], ["e", "f g"], padding=True, return_tensors="pt"))
    shapes = {name: dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC) for name in sample}
    with quiet_exporters():
        exporter, config = _EXPORTERS[form](int8)
        config.dynamic_shapes = shapes
        made = graph_form(model)
        if form == "torch" and int8:
            # The quantisers of transformers' exporter are not used: they turn the whole embedding into floats at every
            # call, and they need torchao, which every import of transformers would then load, too.
            made = int8_weights_(made)
        exported = exporter.export(made, sample, config)
        exported.config = family_config(model.config)
        if form == "onnx":
            _tidy_(exported.program)
        exported.save_pretrained(folder)
        if form == "torch":
            (folder / TORCH_FILE).write_bytes(plain_archive(folder / TORCH_FILE))


def _tidy_(program: Any) -> None:  # noqa: ANN401 - its package is optional
    """Name the axes of an ONNX graph ``batch`` and ``sequence``, and remove the paths of the traced sources."""
    import onnx_ir

    names: dict[str, str] = {}
    for value in program.graph.inputs:
        names.update(zip(map(str, value.shape), ("batch", "sequence"), strict=True))
    nodes = list(program.graph)
    outputs = [value for node in nodes for value in node.outputs]
    for value in (*program.graph.inputs, *outputs):
        if value.shape is not None:
            value.shape = onnx_ir.Shape([names.get(str(size), size) for size in value.shape])
    for described in (program.graph, *program.graph.inputs, *program.graph.outputs, *nodes, *outputs):
        described.metadata_props.clear()


_EXPORTERS = {"onnx": to_onnx, "openvino": to_openvino, "torch": to_torch}


def _check(
    model: PreTrainedModel,
    folder: Path,
    exported: Path,
    teacher: Path | None,
    data: GLUEDataModule,
    form: Format,
    *,
    int8: bool,
) -> Check:
    places = {"after": exported} if teacher is None else {"after": exported, "teacher": teacher}
    answers = {"before": answer_of(model), **{name: open_written(place) for name, place in places.items()}}
    batches = list(data.test_dataloader())
    labels = torch.cat([batch["labels"] for batch in batches])
    logits = {name: torch.cat([answer(batch) for batch in batches]) for name, answer in answers.items()}
    problem = data.task.problem.of_model(model.config)
    of = {name: problem if name != "teacher" or teacher is None else problem_of(config_of(teacher)) for name in answers}
    score = problem.score_function(data.score_metrics)
    found: dict[str, dict[str, Latency]] = {name: {} for name in answers}
    for rows, length in _SHAPES:
        if length <= data.max_length:
            for name, latency in measure_latency(answers, rows, length).items():
                found[name][f"{rows}x{length}"] = latency
    said = {name: of[name].for_metrics(values) for name, values in logits.items()}
    scores = {name: score(values, labels) for name, values in said.items()}
    changed, difference = _changes(problem, logits["before"], logits["after"])
    return Check(
        format=form,
        int8=int8,
        task=data.task.name,
        rows=len(labels),
        score=scores["after"],
        score_before=scores["before"],
        logit_difference=difference,
        changed=changed,
        megabytes=megabytes_of(exported),
        megabytes_before=megabytes_of(folder),
        latency=found["after"],
        latency_before=found["before"],
        alone=_alone(problem, answers["after"], batches, logits["after"]) if int8 else None,
        teacher=None if teacher is None else TeacherForm(scores["teacher"], megabytes_of(teacher), found["teacher"]),
        source=model_digest(folder),
    )


def open_written(folder: Path) -> Answer:
    """Load what `write_form` wrote, without comparing checksums, which are written last.

    Args:
        folder: The folder.

    Returns:
        The model, as a function from batches to logits.
    """
    return open_graph(folder) if is_exported(folder) else open_answer(folder)


def _alone(problem: Problem, answer: Answer, batches: Sequence[Batch], logits: Tensor) -> Alone:
    """Classify some rows again, each in a separate batch, without padding."""
    places = [(batch, row) for batch in batches for row in range(len(batch["input_ids"]))]
    number = min(_MOST_ALONE, len(places))
    chosen = [turn * len(places) // number for turn in range(number)]
    found = []
    for batch, row in (places[place] for place in chosen):
        length = int(batch["attention_mask"][row].sum())
        found.append(
            answer({name: values[row : row + 1, :length] for name, values in batch.items() if name in MODEL_INPUTS})
        )
    return Alone(len(chosen), *_changes(problem, logits[chosen], torch.cat(found)))


def _changes(problem: Problem, first: Tensor, second: Tensor) -> tuple[int | None, float]:
    """Return the number of rows with another class, None without classes, and the largest difference of logits."""
    changed = int((~problem.same_predictions(first, second)).sum()) if problem.has_classes else None
    return changed, float((first - second).abs().max())


def _refuse(check: Check, max_logit_difference: float, max_score_loss: float) -> None:
    # Not the other way round: a comparison with nan is False.
    if not check.logit_difference <= max_logit_difference:
        raise StarkError(
            f"the exported model's logits differ by up to {check.logit_difference:.3g} on {check.rows} rows, more than "
            f"--max_logit_difference {max_logit_difference:g}: nothing was kept"
        )
    if not check.score_before - check.score <= max_score_loss:
        raise StarkError(
            f"the exported model's score on {check.rows} rows is {check.score:.4f}, the model's "
            f"{check.score_before:.4f}: it lost more than --max_score_loss {max_score_loss:g}, nothing was kept"
        )


def megabytes_of(folder: Path) -> float:
    """The size of a folder, with everything in it.

    Args:
        folder: The folder.

    Returns:
        MB.
    """
    return round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6, 2)


def _show(check: Check, form: Format, target: Path) -> None:
    columns = [
        ("model", check.score_before, check.megabytes_before, check.latency_before),
        ("exported", check.score, check.megabytes, check.latency),
    ]
    if check.teacher is not None:
        columns.append(("dense teacher, int8", check.teacher.score, check.teacher.megabytes, check.teacher.latency))
    table = Table(caption=f"latency: median [fastest, slowest] of five rounds in turns, CPU, {threads_text()}")
    table.add_column("", no_wrap=True)
    for header, *_ in columns:
        table.add_column(header, justify="right", no_wrap=True)
    table.add_row("dev score", *(f"{score:.4f}" for _, score, _, _ in columns))
    table.add_row("size, MB", *(f"{megabytes:.1f}" for _, _, megabytes, _ in columns))
    for shape in check.latency:
        rows, length = shape.split("x")
        spreads = (spread_text(latency[shape]) for *_, latency in columns)
        table.add_row(f"ms, {rows} x {length} tokens", *spreads)
    console = PlainConsole()
    console.print(table)
    console.print(change_text(check), highlight=False)
    if check.alone is not None:
        console.print(alone_text(check.alone), highlight=False)
    if form == "dense":
        console.print("dropped units are zeros: any transformers loads it, and it is no faster than the original model")
    if form == "onnx":
        console.print(f"ONNX opset {OPSET}, the axes batch and sequence are dynamic", highlight=False)
    console.print(f"{target}", soft_wrap=True, highlight=False)
