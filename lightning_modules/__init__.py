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
    "kept_units",
    "layers_to_keep",
    "shrink_",
    "shrink_to_",
    "unit_masks",
]
