"""Shortcuts for classifiers: the last layer computes only its first token, and attention draws few random numbers."""

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
from stark.encoders.no_heads import NoHeads
from stark.forward.attention import attention

__all__ = ["attention_mask_of", "lean_attention"]


class _Call(NamedTuple):
    """Shortcuts of a forward pass; each thread has a separate one, so that threads can share a model."""

    last_attention: nn.Module
    last_norm: nn.Module
    all_layers: bool


# Two threads may make the first call of a model at the same time.
_TEACHING = Lock()
_CALL: ContextVar[_Call | None] = ContextVar("lean_attention", default=None)


@contextmanager
def lean_attention(model: PreTrainedModel) -> Iterator[bool]:
    """Skip computations that a classifier's logits do not need, while the context is open.

    The classification head of a family with ``lean_last_layer`` reads only the first token. So the last layer needs
    keys and values of all tokens, but query, attention output and FFN of the first token only; with four equal layers,
    this saves a fifth of the work. Logits and gradients are those of the full computation, within rounding. The last
    hidden states have shape ``(batch, 1, hidden_size)``, or are right for the first token only if norms lie before the
    blocks.

    In training on a CPU, all layers use `attention`.

    A model that is compiled, uses activation checkpointing or has another attention implementation than ``sdpa`` is
    not changed. The context applies only to the thread that opened it. The model's attention modules get a class that
    checks for the context at each call. They keep this class; outside the context they behave as before.

    Args:
        model: A classifier; it may be shrunk. Call it with a mask from `attention_mask_of`, or without a mask.

    Yields:
        Whether the shortcuts apply to this model.

    Raises:
        StarkError: If the model's family is not supported.
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
    """Convert a mask to the form that attention uses directly.

    From a mask of the usual form, transformers builds a mask for each query. Before that it checks whether anything is
    masked, which needs a device synchronisation on a GPU.

    Args:
        mask: Mask ``(batch, length)``, nonzero where there is a token.

    Returns:
        ``(batch, 1, 1, length)``, boolean.

    Examples:
        >>> attention_mask_of(torch.tensor([[1, 0]]))
        tensor([[[[ True, False]]]])
    """
    return mask[:, None, None, :].bool()


def _teach(layer: nn.Module, family: EncoderFamily) -> None:
    module, norm = layer.get_submodule(family.attention), layer.get_submodule(family.attention_norm)
    # An attention module that lost all its heads has another forward, which is cheap already.
    has_heads = not isinstance(module, NoHeads)
    if _first_token in norm._forward_pre_hooks.values() and (isinstance(module, _Lean) or not has_heads):
        return
    with _TEACHING:
        if has_heads and not isinstance(module, _Lean):
            # Set before the class, because another thread may call the new class's forward at once.
            # DistilBERT's attention module contains the output projection; in BERT it is outside.
            module.linears_of_attention = family.attention_linears()  # type: ignore[assignment]  # plain attribute of a module
            module.__class__ = _lean_class(type(module))  # type: ignore[arg-type]
        if _first_token not in norm._forward_pre_hooks.values():
            norm.register_forward_pre_hook(_first_token)


def _first_token(norm: nn.Module, inputs: tuple[Tensor]) -> Tensor | None:
    call = None if torch.compiler.is_dynamo_compiling() else _CALL.get()
    if call is None or call.last_norm is not norm:
        return None
    return inputs[0][:, :1]  # attention + residual; attention of one token was added to all tokens


class _Lean(nn.Module):
    """Mixin in front of a family's attention class: checks at each call whether the shortcuts apply."""

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
        # The classes are created at run time, so a process that unpickles a model must create them as well.
        return _blank, (type(self).__bases__[1],), self.__dict__


@functools.cache
def _lean_class(family_class: Any) -> Any:  # noqa: ANN401 - mypy does not consider classes hashable
    namespace = {"__module__": __name__, "__doc__": _Lean.__doc__}
    return type(family_class.__name__, (_Lean, family_class), namespace)


def _blank(family_class: type[nn.Module]) -> nn.Module:
    lean = _lean_class(family_class)  # type: ignore[arg-type]
    return cast(nn.Module, lean.__new__(lean))
