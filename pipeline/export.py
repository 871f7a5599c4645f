"""`stark export`: a classifier as ONNX, OpenVINO, torch.export or plain transformers, checked before it is kept."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.exporters.base import HfExporter

from datamodules import GLUEDataModule
from lightning_modules import load_classifier
from lightning_modules.classifying import predictions
from lightning_modules.dense_form import dense_form
from lightning_modules.graph_form import graph_form, int8_weights_
from lightning_modules.metrics import score_function
from lightning_modules.model_folder import load_tokenizer, save_classifier
from pipeline.classifier import answer_of, open_answer, quiet_exporters
from pipeline.errors import OneLineErrors
from pipeline.extras import need_extra
from pipeline.latency import Latency, measure_latency, spread_text, threads_text
from pipeline.model_data import data_of
from pipeline.source_paths import forget_source_paths_
from storage import new_folder, write_json

__all__ = ["CHECK", "Check", "Format", "export", "export_model"]

Format = Literal["onnx", "torch", "openvino", "dense"]

OPSET = 18
"""Of ONNX graphs: torch's exporter is written for it, and ONNX Runtime has had it since 1.14."""
CHECK = "check.json"
"""In the folder of an exported model: what it was checked with, and what came out."""

_EXTRAS = {
    "onnx": ("onnx", "onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino", "openvino", "nncf"),
}
_SHAPES = ((1, 32), (1, 128), (32, 128))


@dataclass(frozen=True)
class Check:
    """What an exported model says of the labelled dev rows, beside the model that it was made from.

    Args:
        rows: How many.
        score: Of the exported model, GLUE's mean of the task's metrics.
        score_before: Of the model.
        logit_difference: The largest of all rows and classes.
        changed: How many rows get another class.
        megabytes: Of the folder.
        megabytes_before: Of the model folder.
        latency: By ``ROWSxLENGTH``, of the exported model.
        latency_before: Of the model.
    """

    rows: int
    score: float
    score_before: float
    logit_difference: float
    changed: int
    megabytes: float
    megabytes_before: float
    latency: dict[str, Latency]
    latency_before: dict[str, Latency]


def export(args: list[str]) -> None:
    """Run `stark export`.

    Args:
        args: The command line after `export`.

    Raises:
        ValueError: If the exported model is not what it should be; nothing is left then.
    """
    parser = OneLineErrors(prog="stark export", description="Turn a classifier into a form that is served without us.")
    parser.add_argument("model", type=str, help="model folder, such as runs/NAME/student")
    parser.add_argument("--format", type=Format, required=True, help="onnx, torch, openvino or dense")
    parser.add_argument("--int8", action="store_true", help="weights of 8 bits; of onnx also the matrix products")
    parser.add_argument("--output", type=str, help="folder to write; default MODEL-FORMAT or MODEL-FORMAT-int8")
    parser.add_argument("--data.task", type=str, help="what it is checked on; default: the data of its run")
    parser.add_argument("--data.data_dir", type=str, help="their folder")
    parser.add_argument(
        "--max_logit_difference", type=float, help="more makes the export fail; default 0.001, of int8 any"
    )
    parser.add_argument("--max_score_loss", type=float, default=0.01, help="more makes the export fail")
    options = parser.parse_args(args)
    folder, form = Path(options.model), options.format
    if options.max_logit_difference is None:
        options.max_logit_difference = float("inf") if options.int8 else 1e-3
    suffix = f"-{form}-int8" if options.int8 else f"-{form}"
    target = Path(options.output) if options.output else folder.with_name(folder.name + suffix)
    check = export_model(
        folder,
        form,
        target,
        data_of(folder, options.data.task, options.data.data_dir),
        int8=options.int8,
        max_logit_difference=options.max_logit_difference,
        max_score_loss=options.max_score_loss,
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
) -> Check:
    """Export a model, run what was written on the dev rows, and keep it only if it is right.

    Batch and length are dynamic. The folder has the tokenizer and the configuration, too, and ``check.json``.

    Args:
        folder: Of the model.
        form: ``onnx`` (a graph of opset 18 and its weights), ``torch`` (a file of `torch.export`), ``openvino``, or
            ``dense``: a model folder that plain transformers loads, whose dropped units are zeros, so that it is as
            large and as slow as the original model.
        target: Folder to write; an earlier export gives way.
        data: With the dev rows.
        int8: For onnx weights and activations of matrix products of 8 bits (dynamic quantisation), for openvino
            and torch weights alone.
        max_logit_difference: Between the logits of both.
        max_score_loss: Of the task's score.

    Returns:
        What was found.

    Raises:
        ValueError: If an extra is missing, the format has no int8, something else has the target's name, or the
            exported model differs by more than it may.
    """
    if int8 and form == "dense":
        raise ValueError("--int8 is not for --format dense: choose onnx, openvino or torch")
    if form in _EXTRAS:
        need_extra(_EXTRAS[form][0], f"--format {form}", *_EXTRAS[form][1:])
    # A model folder is no exported one: what was trained is not to be lost.
    if target.exists() and not (target / CHECK).is_file() and not _is_empty(target):
        raise ValueError(f"{target} exists and is no exported model: choose another --output")
    model, tokenizer = load_classifier(folder), load_tokenizer(folder)
    # Before anything is written: what is wrong with them is not the disk's fault.
    data.prepare_data()
    data.setup("test")
    with new_folder(target) as temporary:
        made = temporary / "made"
        _write(model, tokenizer, form, made, int8=int8)
        check = _check(model, folder, made, data)
        _refuse(check, max_logit_difference, max_score_loss)
        for file in made.iterdir():
            file.rename(temporary / file.name)
        made.rmdir()
        write_json(temporary / CHECK, {"format": form, "int8": int8, "task": data.task.name, **asdict(check)})
    return check


def _write(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, form: Format, folder: Path, *, int8: bool
) -> None:
    if form == "dense":
        save_classifier(dense_form(model), folder, tokenizer)
        return
    sample = dict(tokenizer(["a b c", "d"], ["e", "f g"], padding=True, return_tensors="pt"))
    shapes = {name: dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC) for name in sample}
    with quiet_exporters():
        exporter, config = _EXPORTERS[form](int8)
        config.dynamic_shapes = shapes
        made = graph_form(model)
        if form == "torch" and int8:
            # The quantisers of transformers' exporter need torchao, which every import of transformers then loads, too,
            # and they turn the whole embedding into floats at every call.
            made = int8_weights_(made)
        exported = exporter.export(made, sample, config)
        forget_source_paths_(exported)
        exported.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# Each imports what its extra brings.


def _to_onnx(int8: bool) -> tuple[HfExporter, Any]:
    from transformers.exporters.configs import OnnxConfig
    from transformers.exporters.exporter_onnx import OnnxExporter
    from transformers.exporters.quantizers.quantizer_onnxruntime import OnnxRuntimeDynamicConfig, OnnxRuntimeQuantizer

    quantizer = OnnxRuntimeQuantizer(OnnxRuntimeDynamicConfig(per_channel=True)) if int8 else None
    return OnnxExporter(), OnnxConfig(opset_version=OPSET, quantizer=quantizer)


def _to_openvino(int8: bool) -> tuple[HfExporter, Any]:
    from transformers.exporters.configs import OpenVINOConfig
    from transformers.exporters.exporter_openvino import OpenVINOExporter
    from transformers.exporters.quantizers.quantizer_nncf import NNCFOpenVINOQuantizer, NNCFWeightCompressionConfig

    quantizer = NNCFOpenVINOQuantizer(NNCFWeightCompressionConfig()) if int8 else None
    return OpenVINOExporter(), OpenVINOConfig(quantizer=quantizer)


def _to_torch(_: bool) -> tuple[HfExporter, Any]:
    from transformers.exporters.configs import DynamoConfig
    from transformers.exporters.exporter_dynamo import DynamoExporter

    return DynamoExporter(), DynamoConfig()


_EXPORTERS = {"onnx": _to_onnx, "openvino": _to_openvino, "torch": _to_torch}


def _check(model: PreTrainedModel, folder: Path, exported: Path, data: GLUEDataModule) -> Check:
    answers = {"before": answer_of(model), "after": open_answer(exported)}
    batches = list(data.test_dataloader())
    labels = torch.cat([batch["labels"] for batch in batches])
    before, after = (torch.cat([answer(batch) for batch in batches]) for answer in answers.values())
    score = score_function(data.metrics, len(data.label_names))
    found: dict[str, dict[str, Latency]] = {name: {} for name in answers}
    for rows, length in _SHAPES:
        if length <= data.max_length:
            for name, latency in measure_latency(answers, rows, length).items():
                found[name][f"{rows}x{length}"] = latency
    said = [predictions(logits) for logits in (before, after)]
    return Check(
        rows=len(labels),
        score=score(said[1], labels),
        score_before=score(said[0], labels),
        logit_difference=float((before - after).abs().max()),
        changed=0 if data.task.is_regression else int((said[0] != said[1]).sum()),
        megabytes=_megabytes(exported),
        megabytes_before=_megabytes(folder),
        latency=found["after"],
        latency_before=found["before"],
    )


def _refuse(check: Check, max_logit_difference: float, max_score_loss: float) -> None:
    # Not the other way round: a comparison with nan is False.
    if not check.logit_difference <= max_logit_difference:
        raise ValueError(
            f"the exported model's logits differ by up to {check.logit_difference:.3g} on {check.rows} rows, more than "
            f"--max_logit_difference {max_logit_difference:g}: nothing was kept"
        )
    if not check.score_before - check.score <= max_score_loss:
        raise ValueError(
            f"the exported model's score on {check.rows} rows is {check.score:.4f}, the model's "
            f"{check.score_before:.4f}: it lost more than --max_score_loss {max_score_loss:g}, nothing was kept"
        )


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _megabytes(folder: Path) -> float:
    return round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6, 2)


def _show(check: Check, form: Format, target: Path) -> None:
    table = Table(caption=escape(f"latency: median [fastest, slowest] of five rounds in turns, CPU, {threads_text()}"))
    for header in ("", "model", "exported"):
        table.add_column(header, justify="right" if header else "left", no_wrap=True)
    table.add_row("dev score", f"{check.score_before:.4f}", f"{check.score:.4f}")
    table.add_row("size, MB", f"{check.megabytes_before:.1f}", f"{check.megabytes:.1f}")
    for shape, before in check.latency_before.items():
        rows, length = shape.split("x")
        after = check.latency[shape]
        table.add_row(f"ms, {rows} x {length} tokens", escape(spread_text(before)), escape(spread_text(after)))
    console = Console(width=None if os.isatty(1) else 120)
    console.print(table)
    console.print(
        f"largest logit difference {check.logit_difference:.2g} on {check.rows} rows of dev, {check.changed} of them "
        f"with another class",
        highlight=False,
    )
    if form == "dense":
        console.print("dropped units are zeros: any transformers loads it, and it is no faster than the original model")
    if form == "onnx":
        console.print(f"ONNX opset {OPSET}, batch and length are dynamic", highlight=False)
    console.print(f"{target}", soft_wrap=True, highlight=False)
