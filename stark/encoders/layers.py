"""The layers of an encoder of any family: their linears and sizes, and the units that they kept."""

from transformers import PreTrainedModel

from stark.encoders.families.table import family_of
from stark.encoders.family import SHRUNK_PREFIX
from stark.encoders.layer_view import EncoderLayer
from stark.encoders.units import KeptUnits

__all__ = ["count_parameters", "encoder_layers", "encoder_passes", "kept_units"]


def encoder_layers(model: PreTrainedModel) -> list[EncoderLayer]:
    """The layers of a model's encoder, from input to output; a layer whose weights serve several passes is there once.

    Raises:
        StarkError: If the model's family is not supported.
    """
    family = family_of(model)
    return [family.view(layer) for layer in family.layer_list(model)]


def encoder_passes(model: PreTrainedModel) -> list[EncoderLayer]:
    """The layers of a model's encoder in the order of their computation: one for each of its hidden states.

    Only families whose layers share weights have a layer several times.

    Raises:
        StarkError: If the model's family is not supported.
    """
    layers = encoder_layers(model)
    return [layers[number] for number in family_of(model).passes(model)]


def kept_units(model: PreTrainedModel) -> KeptUnits:
    """The units of the original model that the model still has; all of them if it was never shrunk.

    Raises:
        StarkError: If the model's family is not supported.
    """
    if model.config.model_type.startswith(SHRUNK_PREFIX):
        return KeptUnits.from_json(model.config.kept_units)
    layers = encoder_layers(model)
    return KeptUnits.all_of([layer.num_heads for layer in layers], [layer.num_neurons for layer in layers])


def count_parameters(model: PreTrainedModel) -> tuple[int, int]:
    """Number of parameters of the whole model, and of its encoder layers alone (no embeddings, pooler, classifier)."""
    encoder = sum(p.numel() for layer in encoder_layers(model) for p in layer.module.parameters())
    return sum(p.numel() for p in model.parameters()), encoder
