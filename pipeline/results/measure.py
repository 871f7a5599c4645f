"""Metrics and size of a model folder."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from datamodules import GLUEDataModule
from lightning_modules import FinetuningModule
from pipeline.results.summary import SCORE, Removed, Size
from pipeline.settings import RunSettings
from stark.encoders.layers import count_parameters, encoder_layers
from stark.errors import StarkError
from stark.forward.classifying import classify
from stark.problems.metrics import computed, score_of

__all__ = ["Evaluation", "count_flops", "evaluate", "metric_values", "module_of", "size"]


@dataclass(frozen=True)
class Evaluation:
    """The outputs of a model for a part of the data.

    Args:
        values: Metrics under GLUE's names, and their mean as ``score``.
        logits: ``(rows, num_labels)``, in the file's order.
        said: What the metrics compare with the labels, see `Problem.for_metrics`; the model's predictions.
        labels: The rows' labels.
    """

    values: dict[str, float]
    logits: Tensor
    said: Tensor
    labels: Tensor


def module_of(folder: Path, data: GLUEDataModule) -> FinetuningModule:
    """Load a model folder to evaluate it.

    Args:
        folder: The model folder.
        data: The data module that gives the labels and the metrics.

    Returns:
        A module with the model.
    """
    return FinetuningModule(
        str(folder), data.label_names, data.metrics, kind=data.kind, score_metrics=data.score_metrics
    )


def evaluate(
    module: FinetuningModule, data: GLUEDataModule, settings: RunSettings, part: Literal["selection", "dev"]
) -> Evaluation:
    """Evaluate a model.

    Args:
        module: The module with the model.
        data: The run's data module; its tokenizer is the model's.
        settings: The run's settings; precision and accelerator are used.
        part: The selection part, or GLUE's dev split.

    Returns:
        The evaluation.

    Raises:
        StarkError: If a logit is NaN or infinite.
    """
    trainer = Trainer(
        accelerator=settings.trainer.accelerator,
        devices=1,
        precision=settings.trainer.precision,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data.prepare_data()
    data.setup("validate" if part == "selection" else "test")
    loader = data.val_dataloader() if part == "selection" else data.test_dataloader()
    said: Any = trainer.predict(module, loader)
    order = torch.cat([batch["idx"].cpu() for batch in said]).argsort()
    logits = torch.cat([batch["logits"].cpu() for batch in said])[order]
    labels = torch.cat([batch["labels"] for batch in loader])[order]
    if bad := (~logits.isfinite().all(1)).nonzero().flatten().tolist():
        raise StarkError(
            f"{module.classifier.name_or_path}: its logits are NaN or infinite for {len(bad)} of {len(logits)} rows of "
            f"the {part} part, such as row {bad[0]}: it has no score; train it with a lower learning rate, or in "
            "32-true or bf16-mixed instead of 16-mixed"
        )
    said = module.problem.for_metrics(logits)
    return Evaluation(metric_values(said, labels, data), logits, said, labels)


def metric_values(predictions: Tensor, labels: Tensor, data: GLUEDataModule) -> dict[str, float]:
    """The metrics of predictions.

    Args:
        predictions: What `Problem.for_metrics` returns.
        labels: The rows' labels.
        data: The data module that gives the kind of label and the metrics.

    Returns:
        Metrics under GLUE's names, and their mean as ``score``.
    """
    metrics = data.task.problem.build_metrics(data.metrics)
    metrics.update(predictions, labels)
    values = computed(metrics)
    found = {**values, SCORE: score_of(values, data.score_metrics)}
    return {name: float(value) for name, value in found.items()}


def size(model: PreTrainedModel, dense: PreTrainedModel) -> Size:
    """Count a model's parameters, and the units that it lost compared with the dense model.

    Args:
        model: A classifier.
        dense: The dense model from which it was cut.

    Returns:
        The counts, and the fractions of heads and of neurons that were removed, including dropped layers.
    """
    parameters, encoder = count_parameters(model)
    heads, neurons = _units(model)
    all_heads, all_neurons = _units(dense)
    return Size(parameters, encoder, Removed(1 - heads / all_heads, 1 - neurons / all_neurons))


def count_flops(model: PreTrainedModel, rows: int, length: int, *, training: bool = False) -> int:
    """Count the floating point operations of the matrix products of a batch.

    Args:
        model: A classifier.
        rows: Number of rows of the batch.
        length: Tokens of each row, padding included.
        training: Forward and backward pass as a fit does them, without what it spares; else a forward pass in which
            every layer computes all tokens.

    Returns:
        Floating point operations.
    """
    counted = copy.deepcopy(model).eval()
    device = next(model.parameters()).device
    inputs: Tensor = torch.ones(rows, length, dtype=torch.long, device=device)
    batch = {"input_ids": inputs, "attention_mask": inputs}
    # The counter does not know every fused attention kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.set_grad_enabled(training):
        if training:
            classify(counted, batch).sum().backward()
        else:
            counted(**batch, output_hidden_states=True)
    return int(counter.get_total_flops())


def _units(model: PreTrainedModel) -> tuple[int, int]:
    layers = encoder_layers(model)
    return sum(layer.num_heads for layer in layers), sum(layer.num_neurons for layer in layers)
