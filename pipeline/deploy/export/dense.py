"""Restores a shrunk classifier to the shapes of its original family, so that plain transformers can load it."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, PreTrainedConfig, PreTrainedModel

from stark.encoders.family import SHRUNK_PREFIX
from stark.encoders.layer_view import EncoderLayer
from stark.encoders.layers import encoder_layers, kept_units
from stark.encoders.linears import head_rows
from stark.encoders.token_table import FactorisedEmbedding
from stark.errors import StarkError

__all__ = ["dense_form", "family_config"]

# What the configuration of a shrunk classifier has in addition to the family's.
_OURS = ("kept_units", "embedding_rank")


def dense_form(model: PreTrainedModel) -> PreTrainedModel:
    """Pad a shrunk classifier with zeros to the sizes of its original model.

    The logits stay the same, within rounding. Size and latency are those of the original model. Dropped layers are not
    restored, because every family supports fewer layers.

    Args:
        model: A shrunk classifier.

    Returns:
        A new model of the original family's class, on the CPU and in eval mode.

    Raises:
        StarkError: If the model is not shrunk and therefore already has that form.
    """
    if not model.config.model_type.startswith(SHRUNK_PREFIX):
        raise StarkError(f"{model.name_or_path or 'the model'} is not shrunk: any transformers can load it as it is")
    units = kept_units(model)
    config = family_config(model.config)
    model_class: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    dense: PreTrainedModel = model_class(config).to(model.dtype).eval()
    own, target = model.state_dict(), dense.state_dict()
    target.update({name: value for name, value in own.items() if name in target and value.shape == target[name].shape})
    dense.load_state_dict(target)
    if isinstance(factors := model.get_input_embeddings(), FactorisedEmbedding):
        cast(nn.Embedding, dense.get_input_embeddings()).weight.data.copy_(factors.weight)
    for layer, full, heads, neurons in zip(
        encoder_layers(model), encoder_layers(dense), units.heads, units.neurons, strict=True
    ):
        _fill_(layer, full, torch.tensor(heads, dtype=torch.long), torch.tensor(neurons, dtype=torch.long))
    dense.name_or_path = model.name_or_path  # the folder with its tokenizer
    return dense


def family_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of a classifier in its original family, which can be read without this project.

    Args:
        config: The configuration of a classifier, shrunk or not.

    Returns:
        A new configuration without the kept units and the embeddings' rank; it has all other values, including those
        that we added.
    """
    values = {name: value for name, value in config.to_dict().items() if name not in _OURS}
    made: PreTrainedConfig = CONFIG_MAPPING[values.pop("model_type").removeprefix(SHRUNK_PREFIX)].from_dict(values)
    model_class: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(made)]
    made.architectures = [model_class.__name__]
    return made


def _fill_(layer: EncoderLayer, full: EncoderLayer, heads: Tensor, neurons: Tensor) -> None:
    with torch.no_grad():
        for units, width, small_linears, large_linears, small, large in (
            (heads, full.head_size, layer.into_heads, full.into_heads, layer.attention_output, full.attention_output),
            (neurons, 1, layer.into_neurons, full.into_neurons, layer.ffn_out, full.ffn_out),
        ):
            for cut, whole in zip(small_linears, large_linears, strict=True):
                rows = whole.rows(units, width)
                whole.linear.weight.zero_()[rows] = cut.linear.weight.cpu()
                if whole.linear.bias is not None:
                    whole.linear.bias.zero_()[rows] = cut.linear.bias.cpu()
            large.weight.zero_()[:, head_rows(units, width)] = small.weight.cpu()
