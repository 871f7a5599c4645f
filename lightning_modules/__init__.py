"""LightningModules, encoder adapters and model folders."""

from lightning_modules.base import ClassificationModule
from lightning_modules.distillation import DistillationModule
from lightning_modules.encoders import (
    ADAPTERS,
    EncoderAdapter,
    EncoderLayer,
    count_parameters,
    drop_layers_,
    encoder_layers,
    find_adapter,
    kept_units,
    layers_to_keep,
    shrink_,
    shrink_to_,
    unit_masks,
)
from lightning_modules.finetuning import FinetuningModule
from lightning_modules.model_folder import load_classifier, load_tokenizer, model_digest, save_classifier
from lightning_modules.model_inputs import ModelInputs
from lightning_modules.sample_encoder import save_sample_encoder

# Importing it makes the shrunk families known to the Auto classes of transformers.
from lightning_modules.shrunk import ShrunkClassifier
from lightning_modules.stark_checkpoint import import_stark_checkpoint
from lightning_modules.units import KeptUnits

__all__ = [
    "ADAPTERS",
    "ClassificationModule",
    "DistillationModule",
    "EncoderAdapter",
    "EncoderLayer",
    "FinetuningModule",
    "KeptUnits",
    "ModelInputs",
    "ShrunkClassifier",
    "count_parameters",
    "drop_layers_",
    "encoder_layers",
    "find_adapter",
    "import_stark_checkpoint",
    "kept_units",
    "layers_to_keep",
    "load_classifier",
    "load_tokenizer",
    "model_digest",
    "save_classifier",
    "save_sample_encoder",
    "shrink_",
    "shrink_to_",
    "unit_masks",
]
