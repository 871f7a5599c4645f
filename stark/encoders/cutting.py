"""Heads and FFN neurons removed from a model."""

import copy
from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from transformers import CONFIG_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, PreTrainedConfig, PreTrainedModel

from stark.encoders.family import SHRUNK_PREFIX, EncoderAdapter
from stark.encoders.layers import encoder_layers, find_adapter, kept_units
from stark.encoders.linears import head_rows, select_inputs, select_outputs
from stark.encoders.units import KeptUnits, UnitMasks

__all__ = ["cut_", "own_config_", "shrink_", "shrink_to_"]


class _NoHeads(nn.Module):
    """Stands in for an attention module that lost all its heads; the keys of its state stay.

    Fused attention kernels are not made for zero heads.
    """

    def __init__(self, attention: nn.Module, projections: Sequence[str], output: str | None) -> None:
        super().__init__()
        for name, child in attention.named_children():
            self.add_module(name, child)
        self.attention_head_size = attention.attention_head_size
        self._projections, self._output = tuple(projections), output
        self.train(attention.training)

    def forward(self, hidden_states: Tensor, *args: object, **kwargs: object) -> tuple[Tensor, None]:
        # Empty tensors, computed all the same: distributed training waits for the gradient of every parameter.
        query, key, value = (self.get_submodule(name)(hidden_states) for name in self._projections)
        context = query + key + value
        return context if self._output is None else self.get_submodule(self._output)(context), None


def shrink_(model: PreTrainedModel, masks: UnitMasks) -> PreTrainedModel:
    """Remove heads and neurons for good, in place.

    The logits are those under `unit_masks` with the same masks. A layer may lose all its heads or all its neurons;
    that block then adds only its output bias. The model becomes one of the registered ``stark-<family>`` classes with
    ``config.kept_units``, unless nothing is removed; its other configuration values stay the original model's.
    The cut parameters are new objects: build optimizers afterwards.

    Args:
        model: A classifier; it may already be shrunk.
        masks: A mask for each unit that it has now, 1 or True keeps, 0 or False removes.

    Returns:
        The same model.

    Raises:
        ValueError: If a mask does not fit or holds something else than 0 and 1, or the family has no adapter.

    Source: the paper's densified students; GeneZC/StarK modeling_sparsebert.py ``densify``.
    Deviation: nothing is rounded to multiples of 8, and an empty block keeps residual and bias.
    """
    before = kept_units(model)
    after = before.select(masks)
    if after == before:
        return model
    cut_(model, masks)
    family = model.config.model_type.removeprefix(SHRUNK_PREFIX)
    config = own_config_(model, CONFIG_MAPPING[SHRUNK_PREFIX + family])
    config.kept_units = after.to_json()
    model.__class__ = cast(type[PreTrainedModel], MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)])
    return model


def shrink_to_(model: PreTrainedModel, keep: KeptUnits) -> PreTrainedModel:
    """Shrink a model in place until it has exactly these units of the original model.

    Args:
        model: A classifier, dense or shrunk less.
        keep: What `kept_units` returns afterwards.

    Returns:
        The same model.

    Raises:
        ValueError: If the model lacks one of the units or has another number of layers.
    """
    return shrink_(model, keep.masks_within(kept_units(model)))


def cut_(model: PreTrainedModel, masks: UnitMasks) -> None:
    """The cutting in `shrink_`, without its book-keeping in the configuration: for building a model from that."""
    adapter = find_adapter(model)
    for layer, head_mask, neuron_mask in zip(encoder_layers(model), masks.heads, masks.neurons, strict=True):
        device = layer.query.weight.device
        heads, neurons = (mask.nonzero().flatten().to(device) for mask in (head_mask, neuron_mask))
        rows = head_rows(heads, layer.head_size)
        for linear in (layer.query, layer.key, layer.value):
            _replace_(linear, *select_outputs(linear.weight.detach(), _detached(linear.bias), rows))
        _replace_(layer.attention_output, select_inputs(layer.attention_output.weight.detach(), rows))
        _replace_(layer.ffn_in, *select_outputs(layer.ffn_in.weight.detach(), _detached(layer.ffn_in.bias), neurons))
        _replace_(layer.ffn_out, select_inputs(layer.ffn_out.weight.detach(), neurons))
        _update_attention_(layer.module, adapter, len(heads), len(rows))


def _detached(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach()


def _replace_(linear: nn.Linear, weight: Tensor, bias: Tensor | None = None) -> None:
    linear.weight = nn.Parameter(weight, requires_grad=linear.weight.requires_grad)
    if bias is not None:
        linear.bias = nn.Parameter(bias, requires_grad=linear.bias.requires_grad)
    linear.out_features, linear.in_features = weight.shape


def _update_attention_(layer: nn.Module, adapter: EncoderAdapter, num_heads: int, width: int) -> None:
    attention = layer.get_submodule(adapter.attention)
    setattr(attention, adapter.num_heads_attribute, num_heads)
    if adapter.heads_width_attribute is not None:
        setattr(attention, adapter.heads_width_attribute, width)
    if num_heads == 0 and not isinstance(attention, _NoHeads):
        inside = f"{adapter.attention}."
        projections = [name.removeprefix(inside) for name in (adapter.query, adapter.key, adapter.value)]
        output = adapter.attention_output
        own_output = output.removeprefix(inside) if output.startswith(inside) else None
        layer.set_submodule(adapter.attention, _NoHeads(attention, projections, own_output))


def own_config_(model: PreTrainedModel, config_class: type[PreTrainedConfig]) -> PreTrainedConfig:
    """Give a model a configuration object of its own, so that changing it changes no other model's.

    Args:
        model: The model; all of its modules that hold its configuration get the new one.
        config_class: The new configuration's class.

    Returns:
        The new configuration, equal to the old one.
    """
    # Models may share a configuration object, so it is copied before it is changed, for every module that holds it.
    shared, config = model.config, copy.deepcopy(model.config)
    config.__class__ = config_class
    # A configuration read from a file has the family's type as an attribute of its own, which would hide the class's.
    vars(config).pop("model_type", None)
    for module in model.modules():
        if getattr(module, "config", None) is shared:
            module.config = config  # type: ignore[assignment]  # plain attribute of a module
    return config
