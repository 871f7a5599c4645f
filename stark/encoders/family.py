"""The interface of an encoder family: its layers, and how their heads and FFN neurons are read, masked and removed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedConfig, PreTrainedModel

from stark.encoders.layer_view import EncoderLayer, UnitLinear
from stark.encoders.linears import head_rows, select_inputs, select_outputs
from stark.encoders.no_heads import NoHeads

__all__ = ["SHRUNK_PREFIX", "EncoderFamily"]

SHRUNK_PREFIX = "stark-"
"""Prefix of a shrunk model's ``config.model_type``; the family's type follows."""


@dataclass(frozen=True)
class EncoderFamily:
    """A family of encoders; the defaults are BERT's.

    If a family's layers have the linears under other names, give their paths. If they are built differently, override
    the methods. The configuration and model classes are those that transformers lists for the model type.

    Args:
        model_type: The family's ``config.model_type`` in transformers.
        layers_path: Path of the list of layers under ``model.base_model``.
        attention: Path of the self-attention module inside a layer.
        query: Path of the query projection inside a layer; ``key``, ``value``, ``attention_output`` (after the heads),
            ``ffn_in`` and ``ffn_out`` (before and after the neurons) are paths of the other linears. A linear that
            computes query, key and value at once, in this order, is the path of all three.
        key: See ``query``.
        value: See ``query``.
        attention_output: See ``query``.
        attention_norm: Path of the LayerNorm after attention and residual inside a layer, before the FFN.
        ffn_in: See ``query``.
        ffn_out: See ``query``.
        gated: Whether a neuron is the product of an activation and a gate, and the linear before the neurons computes
            all activations and then all gates.
        pre_norm: Whether the FFN's output is added to what ``attention_norm`` gets, and not to what it returns.
        head_size_attribute: Attribute of the attention module for the width of a head.
        num_heads_attribute: Attribute of the attention module for the number of its heads, None if it has none.
        heads_width_attribute: Attribute of the attention module for the width of all heads, None if it has none.
        positions_after_padding: Whether positions start after the padding token's id, as in RoBERTa.
        lean_last_layer: Whether the classification head reads only the first token, so that the last layer can skip the
            others, and attention depends on queries, keys and values alone, as in `lean_attention`.
        scores_from_projections: Whether attention scores are products of queries and keys. Otherwise they depend on
            positions as well, and losses that compare attention maps refuse the family.
        first_layer_differs: Whether the first layer has other parts than the others, so that it cannot be dropped.
        shares_layers: Whether a layer's weights serve several passes, so that they cannot be refitted one by one.

    Examples:
        >>> EncoderFamily("rembert").ffn_in
        'intermediate.dense'
    """

    model_type: str
    layers_path: str = "encoder.layer"
    attention: str = "attention.self"
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    attention_output: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    ffn_in: str = "intermediate.dense"
    ffn_out: str = "output.dense"
    gated: bool = False
    pre_norm: bool = False
    head_size_attribute: str = "attention_head_size"
    num_heads_attribute: str | None = "num_attention_heads"
    heads_width_attribute: str | None = "all_head_size"
    positions_after_padding: bool = False
    lean_last_layer: bool = True
    scores_from_projections: bool = True
    first_layer_differs: bool = False
    shares_layers: bool = False

    def unused_positions(self, config: PreTrainedConfig) -> int:
        """Number of rows of the table of positions that belong to no token.

        Args:
            config: The configuration of a model of this family.

        Returns:
            The number.
        """
        return int(config.pad_token_id) + 1 if self.positions_after_padding else 0

    def layer_list(self, model: PreTrainedModel) -> nn.ModuleList:
        """The layers of a model, from input to output.

        Args:
            model: A classifier of this family.

        Returns:
            The layers, each of them once.
        """
        return cast(nn.ModuleList, model.base_model.get_submodule(self.layers_path))

    def passes(self, model: PreTrainedModel) -> tuple[int, ...]:
        """The order in which a model computes its layers.

        Args:
            model: A classifier of this family.

        Returns:
            Numbers in `layer_list`; a layer whose weights serve several passes is named several times.
        """
        return tuple(range(len(self.layer_list(model))))

    def keep_layers_(self, model: PreTrainedModel, keep: Sequence[int]) -> None:
        """Remove all layers but some; the configuration is not changed.

        Args:
            model: A classifier of this family.
            keep: Numbers of the passes to keep, ascending; without shared weights these are the layers.

        Raises:
            StarkError: If the family cannot drop layers of this model.
        """
        layers = self.layer_list(model)
        model.base_model.set_submodule(self.layers_path, nn.ModuleList(layers[number] for number in keep))
        for number, layer in enumerate(self.layer_list(model)):
            for module in layer.modules():
                if hasattr(module, "layer_idx"):
                    module.layer_idx = number  # type: ignore[assignment]  # plain attribute of a module

    def view(self, layer: nn.Module) -> EncoderLayer:
        """The linears and sizes of a layer.

        Args:
            layer: One of `layer_list`.

        Returns:
            The view; its linears are those of the layer, not copies.
        """

        def linear(path: str) -> nn.Linear:
            return cast(nn.Linear, layer.get_submodule(path))

        before_heads = dict.fromkeys((self.query, self.key, self.value))
        return EncoderLayer(
            module=layer,
            into_heads=tuple(UnitLinear(linear(path), blocks=3 // len(before_heads)) for path in before_heads),
            attention_output=linear(self.attention_output),
            into_neurons=(UnitLinear(linear(self.ffn_in), blocks=2 if self.gated else 1),),
            ffn_out=linear(self.ffn_out),
            middle=layer.get_submodule(self.attention_norm if self.pre_norm else self.ffn_in),
            head_size=cast(int, getattr(layer.get_submodule(self.attention), self.head_size_attribute)),
        )

    def mask_layer(self, layer: nn.Module, heads: Tensor, neurons: Tensor) -> list[RemovableHandle]:
        """Multiply a layer's heads and neurons by masks from now on.

        Args:
            layer: One of `layer_list`.
            heads: Mask ``(num_heads,)`` or ``(batch, num_heads)``.
            neurons: Mask ``(num_neurons,)`` or ``(batch, num_neurons)``.

        Returns:
            Hook handles; their ``remove`` ends the masking.
        """
        view = self.view(layer)
        return [
            view.attention_output.register_forward_pre_hook(_multiply_input(heads, view.head_size)),
            view.ffn_out.register_forward_pre_hook(_multiply_input(neurons, 1)),
        ]

    def cut_layer_(self, layer: nn.Module, heads: Tensor, neurons: Tensor) -> None:
        """Remove heads and neurons of a layer; the configuration is not changed.

        Args:
            layer: One of `layer_list`.
            heads: Numbers of the heads to keep, ascending, int64. They have values even if the layer has none (on
                ``meta``).
            neurons: Numbers of the neurons to keep, likewise.
        """
        view = self.view(layer)
        for units, width, before, after in (
            (heads, view.head_size, view.into_heads, view.attention_output),
            (neurons, 1, view.into_neurons, view.ffn_out),
        ):
            units = units.to(after.weight.device)
            for one in before:
                weight, bias = one.linear.weight.detach(), _detached(one.linear.bias)
                _replace_(one.linear, *select_outputs(weight, bias, one.rows(units, width)))
            _replace_(after, select_inputs(after.weight.detach(), head_rows(units, width)))
        self._count_heads_(layer, view, len(heads))

    def attention_linears(self) -> list[str]:
        """Names of the linears inside the attention module: query, key, value, and the output if it is inside.

        Returns:
            Three or four names.

        Examples:
            >>> EncoderFamily("bert").attention_linears()
            ['query', 'key', 'value']
        """
        inside = f"{self.attention}."
        paths = (self.query, self.key, self.value, self.attention_output)
        return [path.removeprefix(inside) for path in paths if path.startswith(inside)]

    def _count_heads_(self, layer: nn.Module, view: EncoderLayer, num_heads: int) -> None:
        attention = layer.get_submodule(self.attention)
        if isinstance(attention, NoHeads):
            return  # an earlier cut took all its heads; without the attributes it is known as such
        if self.num_heads_attribute is not None:
            setattr(attention, self.num_heads_attribute, num_heads)
        if self.heads_width_attribute is not None:
            setattr(attention, self.heads_width_attribute, num_heads * view.head_size)
        if num_heads == 0:
            names = {module: name for name, module in attention.named_modules()}
            inside = [names[one.linear] for one in view.into_heads]
            output = [names[view.attention_output]] if view.attention_output in names else []
            empty = NoHeads(attention, inside, output, (self.head_size_attribute, view.head_size))
            layer.set_submodule(self.attention, empty)


def _multiply_input(mask: Tensor, width: int) -> Callable[[nn.Module, tuple[Tensor]], Tensor]:
    def hook(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        (hidden,) = inputs  # (batch, length, units * width)
        factors = mask.repeat_interleave(width, dim=-1)
        if factors.dim() == 2:
            factors = factors[:, None]
        # Computed in the wider of the two types, so that a float32 mask gets a float32 gradient from a bfloat16 model.
        return (hidden * factors).to(hidden.dtype)

    return hook


def _detached(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach()


def _replace_(linear: nn.Linear, weight: Tensor, bias: Tensor | None = None) -> None:
    linear.weight = nn.Parameter(weight, requires_grad=linear.weight.requires_grad)
    if bias is not None:
        linear.bias = nn.Parameter(bias, requires_grad=linear.bias.requires_grad)
    linear.out_features, linear.in_features = weight.shape
