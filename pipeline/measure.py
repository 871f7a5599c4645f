"""What a model folder is worth: its metrics and its size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torchmetrics.functional import pearson_corrcoef, spearman_corrcoef
from torchmetrics.functional.classification import binary_f1_score, multiclass_matthews_corrcoef
from transformers import PreTrainedModel

from datamodules import GLUEDataModule
from lightning_modules import FinetuningModule, count_parameters, encoder_layers
from lightning_modules.base import build_metrics, computed, score_of
from lightning_modules.classifying import predictions
from pipeline.settings import RunSettings
from pipeline.statistics import Metric

__all__ = ["Evaluation", "evaluate", "score_function", "size"]


@dataclass(frozen=True)
class Evaluation:
    """What a model says of a part of the data.

    Args:
        values: Metrics under GLUE's names, and their mean as ``score``.
        logits: ``(rows, num_labels)``, in the file's order.
        labels: ``(rows,)``.
    """

    values: dict[str, float]
    logits: Tensor
    labels: Tensor


def evaluate(
    module: FinetuningModule, data: GLUEDataModule, settings: RunSettings, part: Literal["selection", "dev"]
) -> Evaluation:
    """Evaluate a model.

    Args:
        module: With the model.
        data: Of the run; its tokenizer is the model's.
        settings: The run's precision and accelerator.
        part: The selection part, or GLUE's dev split.

    Returns:
        The evaluation.
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
    metrics = build_metrics(data.metrics, len(data.label_names))
    metrics.update(predictions(logits), labels)
    values = computed(metrics)
    found = {**values, "score": score_of(values)}
    return Evaluation({name: float(value) for name, value in found.items()}, logits, labels)


def score_function(names: Sequence[str], num_labels: int) -> Metric:
    """The score of a task as a function, which thousands of draws of a bootstrap can call.

    Args:
        names: GLUE's metric names.
        num_labels: 1 means regression.

    Returns:
        From predictions and labels to the mean of the metrics, the same as that of ``build_metrics``.
    """
    known: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "accuracy": lambda predicted, labels: (predicted == labels).double().mean(),
        "f1": partial(binary_f1_score, validate_args=False),
        "matthews_corrcoef": partial(multiclass_matthews_corrcoef, num_classes=max(num_labels, 2), validate_args=False),
        "pearson": pearson_corrcoef,
        "spearmanr": spearman_corrcoef,
    }

    def score(predicted: Tensor, labels: Tensor) -> float:
        values = [float(torch.nan_to_num(known[name](predicted, labels))) for name in names]
        return sum(values) / len(values)

    return score


def size(model: PreTrainedModel, dense: PreTrainedModel) -> dict[str, Any]:
    """Count a model's parameters and what it lost against the dense model.

    Args:
        model: A classifier.
        dense: The dense one that it was cut from.

    Returns:
        ``parameters``, ``encoder_parameters`` (without embeddings, pooler and classifier) and ``achieved``: the
        fraction of heads and of neurons that are gone, layers that were dropped included.
    """
    parameters, encoder = count_parameters(model)
    heads, neurons = _units(model)
    all_heads, all_neurons = _units(dense)
    achieved = {"heads": 1 - heads / all_heads, "neurons": 1 - neurons / all_neurons}
    return {"parameters": parameters, "encoder_parameters": encoder, "achieved": achieved}


def _units(model: PreTrainedModel) -> tuple[int, int]:
    layers = encoder_layers(model)
    return sum(layer.num_heads for layer in layers), sum(layer.num_neurons for layer in layers)
