"""LightningModules, encoder adapters and model folders."""

from lightning_modules.base import ClassificationModule
from lightning_modules.distillation import DistillationModule
from lightning_modules.finetuning import FinetuningModule
from stark.encoders.cutting import shrink_, shrink_to_
from stark.encoders.families.table import family_of, register_family
from stark.encoders.family import EncoderFamily
from stark.encoders.layer_dropping import drop_layers_, layers_to_keep
from stark.encoders.layer_view import EncoderLayer
from stark.encoders.layers import count_parameters, encoder_layers, kept_units
from stark.encoders.masking import unit_masks
from stark.encoders.units import KeptUnits
from stark.model_folders.model_folder import load_classifier, load_tokenizer, model_digest, save_classifier
from stark.model_folders.model_inputs import ModelInputs
from stark.model_folders.released_checkpoint import import_stark_checkpoint
from stark.model_folders.sample_encoder import save_sample_encoder

# This import registers the shrunk families with the Auto classes of transformers.
from stark.model_folders.shrunk import ShrunkClassifier

__all__ = [
    "ClassificationModule",
    "DistillationModule",
    "EncoderFamily",
    "EncoderLayer",
    "FinetuningModule",
    "KeptUnits",
    "ModelInputs",
    "ShrunkClassifier",
    "count_parameters",
    "drop_layers_",
    "encoder_layers",
    "family_of",
    "import_stark_checkpoint",
    "kept_units",
    "layers_to_keep",
    "load_classifier",
    "load_tokenizer",
    "model_digest",
    "register_family",
    "save_classifier",
    "save_sample_encoder",
    "shrink_",
    "shrink_to_",
    "unit_masks",
]
