"""Measuring a model folder: its metrics on a part of the data, and its size."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pytorch_lightning import Trainer

from datamodules import GLUEDataModule
from lightning_modules import FinetuningModule, count_parameters, encoder_layers, load_classifier
from pipeline.settings import RunSettings

__all__ = ["evaluate", "size"]


def evaluate(folder: Path, settings: RunSettings, part: Literal["selection", "dev"]) -> dict[str, float]:
    """Evaluate a model folder.

    Args:
        folder: The model folder.
        settings: The run's data, precision and accelerator.
        part: The selection part, or GLUE's dev split.

    Returns:
        Metrics under GLUE's names, and their mean as ``score``.
    """
    data = GLUEDataModule(model_name_or_path=str(folder), seed=settings.seed, **settings.data)
    module = FinetuningModule(str(folder), data.label_names, data.metrics)
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


def size(folder: Path, dense: Path) -> dict[str, Any]:
    """Count a model's parameters and what it lost against the dense model.

    Args:
        folder: The model folder.
        dense: The folder of the dense model that it was cut from.

    Returns:
        ``parameters``, ``encoder_parameters`` (without embeddings, pooler and classifier) and ``achieved``: the
        fraction of heads and of neurons that are gone, layers that were dropped included.
    """
    model = load_classifier(folder)
    parameters, encoder = count_parameters(model)
    heads, neurons = _units(model)
    all_heads, all_neurons = _units(load_classifier(dense))
    achieved = {"heads": 1 - heads / all_heads, "neurons": 1 - neurons / all_neurons}
    return {"parameters": parameters, "encoder_parameters": encoder, "achieved": achieved}


def _units(model: Any) -> tuple[int, int]:  # noqa: ANN401 - transformers' own types are partial
    layers = encoder_layers(model)
    return sum(layer.num_heads for layer in layers), sum(layer.num_neurons for layer in layers)
