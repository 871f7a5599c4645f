"""The layers of an encoder, whatever its family: their linears and sizes, and the units that they kept."""

from dataclasses import dataclass
from typing import cast

from torch import nn
from transformers import PreTrainedModel

from stark.encoders.families.table import adapter_of
from stark.encoders.family import SHRUNK_PREFIX, EncoderAdapter
from stark.encoders.units import KeptUnits

__all__ = ["EncoderLayer", "count_parameters", "encoder_layers", "find_adapter", "kept_units", "layer_list"]


@dataclass(frozen=True)
class EncoderLayer:
    """The linears of one layer, and its current sizes."""

    module: nn.Module
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    attention_output: nn.Linear
    ffn_in: nn.Linear
    ffn_out: nn.Linear
    head_size: int

    @property
    def num_heads(self) -> int:
        """Heads that the layer has now."""
        return self.query.out_features // self.head_size

    @property
    def num_neurons(self) -> int:
        """FFN neurons that the layer has now."""
        return self.ffn_in.out_features


def find_adapter(model: PreTrainedModel) -> EncoderAdapter:
    """The adapter of a model, shrunk or not.

    Raises:
        ValueError: If the model's family has none.
    """
    return adapter_of(model.config.model_type)


def encoder_layers(model: PreTrainedModel) -> list[EncoderLayer]:
    """The layers of a model's encoder, from input to output.

    Raises:
        ValueError: If the model's family has no adapter.
    """
    adapter = find_adapter(model)
    linears = ("query", "key", "value", "attention_output", "ffn_in", "ffn_out")
    return [
        EncoderLayer(
            module=layer,
            head_size=cast(int, layer.get_submodule(adapter.attention).attention_head_size),
            **{name: cast(nn.Linear, layer.get_submodule(getattr(adapter, name))) for name in linears},
        )
        for layer in layer_list(model)
    ]


def layer_list(model: PreTrainedModel) -> nn.ModuleList:
    """The layers themselves, from input to output.

    Raises:
        ValueError: If the model's family has no adapter.
    """
    return cast(nn.ModuleList, model.base_model.get_submodule(find_adapter(model).layers))


def kept_units(model: PreTrainedModel) -> KeptUnits:
    """Which units of the original model the model's layers have; all of them if it was never shrunk.

    Raises:
        ValueError: If the model's family has no adapter.
    """
    if model.config.model_type.startswith(SHRUNK_PREFIX):
        return KeptUnits.from_json(model.config.kept_units)
    layers = encoder_layers(model)
    return KeptUnits.all_of([layer.num_heads for layer in layers], [layer.num_neurons for layer in layers])


def count_parameters(model: PreTrainedModel) -> tuple[int, int]:
    """Number of parameters of the whole model, and of its encoder layers alone (no embeddings, pooler, classifier)."""
    encoder = sum(p.numel() for layer in encoder_layers(model) for p in layer.module.parameters())
    return sum(p.numel() for p in model.parameters()), encoder
