"""What a model folder is worth: its metrics and its size."""

from __future__ import annotations

from typing import Any, Literal

from pytorch_lightning import Trainer
from transformers import PreTrainedModel

from datamodules import GLUEDataModule
from lightning_modules import FinetuningModule, count_parameters, encoder_layers
from pipeline.settings import RunSettings

__all__ = ["evaluate", "size"]


def evaluate(
    module: FinetuningModule, data: GLUEDataModule, settings: RunSettings, part: Literal["selection", "dev"]
) -> dict[str, float]:
    """Evaluate a model.

    Args:
        module: With the model.
        data: Of the run; its tokenizer is the model's.
        settings: The run's precision and accelerator.
        part: The selection part, or GLUE's dev split.

    Returns:
        Metrics under GLUE's names, and their mean as ``score``.
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
    run = trainer.validate if part == "selection" else trainer.test
    (results,) = run(module, datamodule=data, verbose=False)
    return {name.partition("/")[2]: value for name, value in results.items()}


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
