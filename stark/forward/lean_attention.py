"""What a classifier need not compute: the last layer beyond its first token, and attention's costly random numbers."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from stark.encoders.families.table import family_of
from stark.encoders.family import EncoderFamily
from stark.forward.attention import attention

__all__ = ["attention_mask_of", "lean_attention"]


class _Call(NamedTuple):
    """What a forward pass may spare; each thread has its own, so that threads can share a model."""

    last_attention: nn.Module
    last_norm: nn.Module
    all_layers: bool


# Two threads may be the first to call a model.
_TEACHING = Lock()
_CALL: ContextVar[_Call | None] = ContextVar("lean_attention", default=None)


@contextmanager
def lean_attention(model: PreTrainedModel) -> Iterator[bool]:
    """Spare a classifier what its logits do not need, while the context is open.

    The heads of all supported families read the first token. The last layer needs keys and values of all tokens, but
    query, attention output and FFN of that one: of four equal layers a fifth of the work. Logits and gradients are
    those of the whole model, within rounding; its last hidden states are ``(batch, 1, hidden_size)``.

    In training on a CPU all layers attend by `attention`.

    A model that is compiled, checkpoints its activations or has other attention than ``sdpa`` is left as it is.
    The context counts for the thread that opened it. The model's attention modules get a class that looks for it,
    which they keep; outside of the context they are as they were.

    Args:
        model: A classifier; it may be shrunk. It is called with a mask as of `attention_mask_of`, or without.

    Yields:
        Whether the model is one that can be spared anything.

    Raises:
        StarkError: If the model's family has no family.
    """
    family = family_of(model)
    layers = family.layer_list(model)
    last = layers[-1]
    if (
        not family.lean_last_layer
        or model.config._attn_implementation != "sdpa"
        or model._compiled_call_impl is not None
        or last.gradient_checkpointing
    ):
        yield False
        return
    all_layers = model.training and model.device.type == "cpu"
    for layer in layers if all_layers else (last,):
        _teach(layer, family)
    call = _Call(last.get_submodule(family.attention), last.get_submodule(family.attention_norm), all_layers)
    token = _CALL.set(call)
    try:
        yield True
    finally:
        _CALL.reset(token)


def attention_mask_of(mask: Tensor) -> Tensor:
    """A mask in the form that attention takes as it is.

    From the usual one transformers makes a mask for each query, after it has looked whether anything is masked, for
    which a GPU has to stop.

    Args:
        mask: ``(batch, length)``, nonzero where there is a token.

    Returns:
        ``(batch, 1, 1, length)``, boolean.

    Examples:
        >>> attention_mask_of(torch.tensor([[1, 0]]))
        tensor([[[[ True, False]]]])
    """
    return mask[:, None, None, :].bool()


def _teach(layer: nn.Module, family: EncoderFamily) -> None:
    module, norm = layer.get_submodule(family.attention), layer.get_submodule(family.attention_norm)
    # One that lost all its heads has another forward, which is cheap as it is.
    has_heads = hasattr(module, family.num_heads_attribute)
    if _first_token in norm._forward_pre_hooks.values() and (isinstance(module, _Lean) or not has_heads):
        return
    with _TEACHING:
        if has_heads and not isinstance(module, _Lean):
            # Before the class, whose forward another thread may call at once.
            # DistilBERT has inside of its attention what BERT has behind it.
            module.linears_of_attention = family.attention_linears()  # type: ignore[assignment]  # plain attribute of a module
            module.__class__ = _lean_class(type(module))  # type: ignore[arg-type]
        if _first_token not in norm._forward_pre_hooks.values():
            norm.register_forward_pre_hook(_first_token)


def _first_token(norm: nn.Module, inputs: tuple[Tensor]) -> Tensor | None:
    call = None if torch.compiler.is_dynamo_compiling() else _CALL.get()
    if call is None or call.last_norm is not norm:
        return None
    return inputs[0][:, :1]  # of attention and residual; where the former is of one token, it was added to all


class _Lean(nn.Module):
    """In front of a family's own attention class: asks at each call whether it may be lean."""

    linears_of_attention: list[str]

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, **kwargs: object
    ) -> tuple[Tensor, Tensor | None]:
        call = None if torch.compiler.is_dynamo_compiling() else _CALL.get()
        only_first = call is not None and call.last_attention is self
        if call is None or not (only_first or call.all_layers):
            return cast(tuple[Tensor, None], super().forward(hidden_states, attention_mask, **kwargs))
        to_query, to_key, to_value, *output = (self.get_submodule(name) for name in self.linears_of_attention)
        asking = hidden_states[:, :1] if only_first else hidden_states
        query, key, value = (
            projected.unflatten(-1, (-1, self.attention_head_size)).transpose(1, 2)
            for projected in (to_query(asking), to_key(hidden_states), to_value(hidden_states))
        )
        p = cast(nn.Dropout, self.dropout).p if self.training else 0.0
        context = attention(query, key, value, attention_mask, p).transpose(1, 2).flatten(2)
        return (output[0](context) if output else context), None

    def __reduce__(self) -> tuple[object, ...]:
        # The classes are made at run time, so that a process that reads a pickled model has to make them as well.
        return _blank, (type(self).__bases__[1],), self.__dict__


@functools.cache
def _lean_class(family_class: Any) -> Any:  # noqa: ANN401 - classes, which mypy does not take for hashable
    namespace = {"__module__": __name__, "__doc__": _Lean.__doc__}
    return type(family_class.__name__, (_Lean, family_class), namespace)


def _blank(family_class: type[nn.Module]) -> nn.Module:
    lean = _lean_class(family_class)  # type: ignore[arg-type]
    return cast(nn.Module, lean.__new__(lean))
