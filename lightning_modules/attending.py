"""What a classifier need not compute: the last layer beyond its first token, and attention's costly random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn
from transformers import PreTrainedModel

from lightning_modules.encoders import EncoderAdapter, EncoderLayer, encoder_layers, find_adapter
from lightning_modules.functional.attention import attention

__all__ = ["lean_attention"]


@contextmanager
def lean_attention(model: PreTrainedModel) -> Iterator[PreTrainedModel]:
    """Spare a classifier what its logits do not need, while the context is open.

    The heads of all supported families read the first token. The last layer needs keys and values of all tokens, but
    query, attention output and FFN of that one: of four equal layers a fifth of the work. Logits and gradients are
    those of the whole model, within rounding; its last hidden states are ``(batch, 1, hidden_size)``.

    In training on a CPU all layers attend by :func:`~lightning_modules.functional.attention.attention`.

    A model that is compiled, checkpoints its activations or has other attention than ``sdpa`` is left as it is.

    Args:
        model: A classifier; it may be shrunk. Its attention mask is boolean, ``(batch, 1, 1, length)``.

    Yields:
        The model.

    Raises:
        ValueError: If the model's family has no adapter.
    """
    adapter, layers = find_adapter(model), encoder_layers(model)
    if (
        model.config._attn_implementation != "sdpa"
        or model._compiled_call_impl is not None
        or layers[-1].module.gradient_checkpointing
    ):
        yield model
        return
    with ExitStack() as undo:
        norm = layers[-1].module.get_submodule(adapter.attention_norm)
        undo.callback(norm.register_forward_pre_hook(_first_token).remove)
        for layer in layers if model.training and model.device.type == "cpu" else layers[-1:]:
            if layer.num_heads:
                module = layer.module.get_submodule(adapter.attention)
                module.forward = _attend(module, layer, adapter, only_first=layer is layers[-1])
                undo.callback(delattr, module, "forward")
        yield model


def _first_token(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    return inputs[0][:, :1]  # of attention and residual; where the former is of one token, it was added to all


def _attend(
    module: nn.Module, layer: EncoderLayer, adapter: EncoderAdapter, *, only_first: bool
) -> Callable[..., tuple[Tensor, None]]:
    # DistilBERT has inside of its attention what BERT has behind it.
    inside = adapter.attention_output.startswith(f"{adapter.attention}.")
    dropout = module.dropout

    def heads(hidden: Tensor) -> Tensor:
        return hidden.view(*hidden.shape[:2], layer.num_heads, layer.head_size).transpose(1, 2)

    def forward(hidden_states: Tensor, attention_mask: Tensor | None = None, **_: object) -> tuple[Tensor, None]:
        query = layer.query(hidden_states[:, :1] if only_first else hidden_states)
        key, value = layer.key(hidden_states), layer.value(hidden_states)
        p = dropout.p if module.training else 0.0  # type: ignore[union-attr]
        context = attention(heads(query), heads(key), heads(value), attention_mask, p)  # type: ignore[arg-type]
        context = context.transpose(1, 2).flatten(2)
        return layer.attention_output(context) if inside else context, None

    return forward
