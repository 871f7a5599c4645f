"""A classifier as exporters can take it: blocks that lost all their units as the constant that they add; 8 bits."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

__all__ = ["graph_form", "int8_weights_"]


class _Constant(nn.Module):
    """What a linear without inputs computes: its bias.

    Exporters mistake matrices of size zero: OpenVINO computes wrong logits, ONNX Runtime cannot quantise them.
    """

    def __init__(self, bias: nn.Parameter) -> None:
        super().__init__()
        self.bias = bias

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.bias.expand(*hidden_states.shape[:-1], -1)


def graph_form(model: PreTrainedModel) -> PreTrainedModel:
    """Copy a classifier for an exporter.

    Args:
        model: A classifier; layers may have lost all their heads or all their neurons.

    Returns:
        A copy in eval mode, on the CPU, with the same logits and without empty matrices behind the units.
    """
    copied: PreTrainedModel = copy.deepcopy(model).cpu().eval()
    for name, module in list(copied.named_modules()):
        if isinstance(module, nn.Linear) and module.in_features == 0:
            copied.set_submodule(name, _Constant(module.bias))
    return copied


class _Int8(nn.Module):
    """A matrix in 8 bits, each row with a scale."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        scale = weight.abs().amax(1).clamp_min(torch.finfo(weight.dtype).tiny) / 127
        self.register_buffer("table", (weight / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)

    table: Tensor
    scale: Tensor


class _Int8Embedding(_Int8):
    def forward(self, ids: Tensor) -> Tensor:
        # The rows that are asked for, not the whole table.
        return self.table[ids] * self.scale[ids][..., None]


class _Int8Linear(_Int8):
    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight)
        self.register_buffer("bias", bias)

    bias: Tensor | None

    def forward(self, hidden_states: Tensor) -> Tensor:
        product = functional.linear(hidden_states, self.table.to(hidden_states.dtype)) * self.scale
        return product if self.bias is None else product + self.bias


def int8_weights_(model: PreTrainedModel) -> PreTrainedModel:
    r"""Keep the matrices of a classifier in 8 bits: $\mathrm{round}(w / s)$ with $s = \max |w| / 127$ of each row.

    It is computed with floats, so the file gets smaller and nothing faster.

    Args:
        model: A classifier for an exporter, see `graph_form`; it is changed.

    Returns:
        The model; each weight is off by half of its row's s at most.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Embedding):
            model.set_submodule(name, _Int8Embedding(module.weight.detach()))
        elif isinstance(module, nn.Linear):
            bias = None if module.bias is None else module.bias.detach()
            model.set_submodule(name, _Int8Linear(module.weight.detach(), bias))
    return model
