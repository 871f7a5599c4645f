"""LightningModules, encoder adapters and model folders."""

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
from lightning_modules.model_folder import folder_hash, load_classifier, load_tokenizer, save_classifier

# Importing it makes the shrunk families known to the Auto classes of transformers.
from lightning_modules.shrunk import ShrunkClassifier
from lightning_modules.units import KeptUnits

__all__ = [
    "ADAPTERS",
    "EncoderAdapter",
    "EncoderLayer",
    "KeptUnits",
    "ShrunkClassifier",
    "count_parameters",
    "drop_layers_",
    "encoder_layers",
    "find_adapter",
    "folder_hash",
    "kept_units",
    "layers_to_keep",
    "load_classifier",
    "load_tokenizer",
    "save_classifier",
    "shrink_",
    "shrink_to_",
    "unit_masks",
]
