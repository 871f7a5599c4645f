"""One view of the encoder families of Hugging Face: their layers, heads and neurons, masked, cut or dropped.

A new family is one entry in `ADAPTERS`. Models stay plain ``AutoModelForSequenceClassification`` models: masks are
hooks, and cutting replaces the weights of a layer's linears.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from transformers import CONFIG_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, PreTrainedConfig, PreTrainedModel

from lightning_modules.functional.shrinking import head_rows, select_inputs, select_outputs
from lightning_modules.units import KeptUnits, layers_to_keep

__all__ = [
    "ADAPTERS",
    "SHRUNK_PREFIX",
    "EncoderAdapter",
    "EncoderLayer",
    "KeptUnits",
    "adapter_of",
    "count_parameters",
    "cut_",
    "drop_layers_",
    "encoder_layers",
    "find_adapter",
    "kept_units",
    "layer_list",
    "layers_to_keep",
    "shrink_",
    "shrink_to_",
    "unit_masks",
]

SHRUNK_PREFIX = "stark-"
"""A shrunk model's ``config.model_type`` is this followed by its family's."""


@dataclass(frozen=True)
class EncoderAdapter:
    """Where a family keeps the parts of a layer; the defaults are BERT's.

    The configuration and model classes are the ones that transformers lists for the family's model type.

    Args:
        layers: Path of the list of layers under ``model.base_model``.
        attention: Path of the self-attention module inside a layer. It has ``attention_head_size``.
        query: Path of the query projection inside a layer; so are ``key`` and ``value``, ``attention_output`` (behind
            the heads), ``ffn_in`` and ``ffn_out`` (in front of and behind the neurons).
        attention_norm: Path of the LayerNorm of attention and residual inside a layer.
        num_heads_attribute: Attribute of the attention module that counts its heads.
        heads_width_attribute: Attribute of the attention module for the width of all heads, None if it has none.
        positions_after_padding: Whether positions are counted from behind the padding token's id, as RoBERTa does.
    """

    layers: str = "encoder.layer"
    attention: str = "attention.self"
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attention_output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    ffn_in: str = "intermediate.dense"
    ffn_out: str = "output.dense"
    num_heads_attribute: str = "num_attention_heads"
    heads_width_attribute: str | None = "all_head_size"
    positions_after_padding: bool = False


ADAPTERS = {
    "bert": EncoderAdapter(),
    "roberta": EncoderAdapter(positions_after_padding=True),
    "xlm-roberta": EncoderAdapter(positions_after_padding=True),
    "electra": EncoderAdapter(),
    "distilbert": EncoderAdapter(
        layers="transformer.layer",
        attention="attention",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_output="attention.out_lin",
        attention_norm="sa_layer_norm",
        ffn_in="ffn.lin1",
        ffn_out="ffn.lin2",
        num_heads_attribute="n_heads",
        heads_width_attribute=None,
    ),
}
"""Adapters by ``config.model_type``."""


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


def adapter_of(model_type: str | None) -> EncoderAdapter:
    """The adapter for a ``config.model_type``, also ``stark-<family>``.

    Raises:
        ValueError: If there is none.

    Examples:
        >>> adapter_of("stark-distilbert").ffn_in
        'ffn.lin1'
    """
    if (family := str(model_type).removeprefix(SHRUNK_PREFIX)) not in ADAPTERS:
        supported = ", ".join(ADAPTERS)
        raise ValueError(
            f"no adapter for model type '{model_type}': one of {supported} is supported (lightning_modules/encoders.py)"
        )
    return ADAPTERS[family]


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


@contextmanager
def unit_masks(
    model: PreTrainedModel, head_masks: Sequence[Tensor], neuron_masks: Sequence[Tensor]
) -> Iterator[PreTrainedModel]:
    """Multiply every head's context and every FFN neuron's activation by a mask while the context is open.

    The masks may require gradients. A mask of zeros gives the output of the model without those units.

    Args:
        model: A classifier; it may be shrunk.
        head_masks: Per layer ``(num_heads,)``, or ``(batch, num_heads)`` with a mask for each example.
        neuron_masks: Per layer ``(num_neurons,)`` or ``(batch, num_neurons)``.

    Yields:
        The model.

    Raises:
        ValueError: If the number or a size of the masks does not fit the model.

    Source: the paper's mask variables; GeneZC/StarK modeling_sparsebert.py multiplies at the same two places.
    """
    layers = encoder_layers(model)
    for kind, masks, sizes in (
        ("head", head_masks, [layer.num_heads for layer in layers]),
        ("neuron", neuron_masks, [layer.num_neurons for layer in layers]),
    ):
        if len(masks) != len(layers):
            raise ValueError(f"{len(masks)} {kind} masks for {len(layers)} layers")
        for number, (mask, size) in enumerate(zip(masks, sizes, strict=True)):
            if mask.dim() not in (1, 2) or mask.shape[-1] != size:
                shape = tuple(mask.shape)
                raise ValueError(f"{kind} mask of layer {number} has shape {shape}, not ({size},) or (batch, {size})")
    with ExitStack() as hooks:
        for layer, head_mask, neuron_mask in zip(layers, head_masks, neuron_masks, strict=True):
            for linear, mask, width in (
                (layer.attention_output, head_mask, layer.head_size),
                (layer.ffn_out, neuron_mask, 1),
            ):
                hooks.callback(linear.register_forward_pre_hook(_multiply_input(mask, width)).remove)
        yield model


def _multiply_input(mask: Tensor, width: int) -> Callable[[nn.Module, tuple[Tensor]], Tensor]:
    def hook(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        (hidden,) = inputs  # (batch, length, units * width)
        factors = mask.repeat_interleave(width, dim=-1)
        if factors.dim() == 2:
            factors = factors[:, None]
        # In the wider of the two types, so that a float32 mask gets a float32 gradient from a bfloat16 model.
        return (hidden * factors).to(hidden.dtype)

    return hook


def shrink_(model: PreTrainedModel, head_masks: Sequence[Tensor], neuron_masks: Sequence[Tensor]) -> PreTrainedModel:
    """Remove heads and neurons for good, in place.

    The logits are those under `unit_masks` with the same masks. A layer may lose all its heads or all its neurons;
    that block then adds only its output bias. The model becomes one of the registered ``stark-<family>`` classes with
    ``config.kept_units``, unless nothing is removed; its other configuration values stay the original model's.
    The cut parameters are new objects: build optimizers afterwards.

    Args:
        model: A classifier; it may already be shrunk.
        head_masks: Per layer ``(num_heads,)`` over the heads it has now, 1 or True keeps, 0 or False removes.
        neuron_masks: Per layer ``(num_neurons,)``.

    Returns:
        The same model.

    Raises:
        ValueError: If a mask does not fit or holds something else than 0 and 1, or the family has no adapter.

    Source: the paper's densified students; GeneZC/StarK modeling_sparsebert.py ``densify``.
    Deviation: nothing is rounded to multiples of 8, and an empty block keeps residual and bias.
    """
    before = kept_units(model)
    after = before.select(head_masks, neuron_masks)
    if after == before:
        return model
    cut_(model, head_masks, neuron_masks)
    family = model.config.model_type.removeprefix(SHRUNK_PREFIX)
    config = _own_config_(model, CONFIG_MAPPING[SHRUNK_PREFIX + family])
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
    return shrink_(model, *keep.masks_within(kept_units(model)))


def cut_(model: PreTrainedModel, head_masks: Sequence[Tensor], neuron_masks: Sequence[Tensor]) -> None:
    """The cutting in `shrink_`, without its book-keeping in the configuration: for building a model from that."""
    adapter = find_adapter(model)
    for layer, head_mask, neuron_mask in zip(encoder_layers(model), head_masks, neuron_masks, strict=True):
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


def _own_config_(model: PreTrainedModel, config_class: type[PreTrainedConfig]) -> PreTrainedConfig:
    # Models may share a configuration object, so it is copied before it is changed, for every module that holds it.
    shared, config = model.config, copy.deepcopy(model.config)
    config.__class__ = config_class
    # A configuration read from a file has the family's type as an attribute of its own, which would hide the class's.
    vars(config).pop("model_type", None)
    for module in model.modules():
        if getattr(module, "config", None) is shared:
            module.config = config  # type: ignore[assignment]  # plain attribute of a module
    return config


def drop_layers_(model: PreTrainedModel, keep: Sequence[int]) -> PreTrainedModel:
    """Remove all but some layers, in place; a plain model stays a plain one.

    Args:
        model: A classifier; it may be shrunk.
        keep: Ascending numbers of the layers that stay.

    Returns:
        The same model.

    Raises:
        ValueError: If ``keep`` is empty, not ascending, or names a layer that the model does not have.
    """
    layers = layer_list(model)
    if not keep or list(keep) != sorted(set(keep)) or keep[0] < 0 or keep[-1] >= len(layers):
        raise ValueError(f"layers to keep must be ascending numbers below {len(layers)}, got {list(keep)}")
    units = kept_units(model)
    model.base_model.set_submodule(find_adapter(model).layers, nn.ModuleList(layers[number] for number in keep))
    for number, layer in enumerate(layer_list(model)):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = number  # type: ignore[assignment]  # plain attribute of a module
    config = _own_config_(model, type(model.config))
    config.num_hidden_layers = len(keep)
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = [config.layer_types[number] for number in keep]
    if config.model_type.startswith(SHRUNK_PREFIX):
        config.kept_units = units.of_layers(keep).to_json()
    return model
