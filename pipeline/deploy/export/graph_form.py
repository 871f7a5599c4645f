"""Prepares a classifier for exporters: replaces matrices without inputs by constants, and quantises to 8 bits."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

__all__ = ["graph_form", "int8_weights_"]


class _Constant(nn.Module):
    """Replaces a linear layer without inputs, whose output is its bias, or 0 without one.

    Exporters do not handle matrices of size zero: OpenVINO computes wrong logits, ONNX Runtime cannot quantise them.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        bias: nn.Parameter | None = linear.bias  # torch does not say that there may be none
        self.bias = nn.Parameter(linear.weight.new_zeros(linear.out_features)) if bias is None else bias

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.bias.expand(*hidden_states.shape[:-1], -1)


def graph_form(model: PreTrainedModel) -> PreTrainedModel:
    """Copy a classifier for an exporter.

    Args:
        model: A classifier; in some layers all heads or all neurons may have been removed.

    Returns:
        A copy in eval mode, on the CPU, with the same logits. Its linear layers without inputs are constants.
    """
    copied: PreTrainedModel = copy.deepcopy(model).cpu().eval()
    for name, module in list(copied.named_modules()):
        if isinstance(module, nn.Linear) and module.in_features == 0:
            copied.set_submodule(name, _Constant(module))
    return copied


class _Int8(nn.Module):
    """A matrix in 8 bits, with a scale for each row."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        scale = weight.abs().amax(1).clamp_min(torch.finfo(weight.dtype).tiny) / 127
        self.register_buffer("table", (weight / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)

    table: Tensor
    scale: Tensor


class _Int8Embedding(_Int8):
    @property
    def weight(self) -> Tensor:
        """The whole table, which DeBERTa's layers read: it has a row for each distance of two tokens."""
        return self.table * self.scale[:, None]

    def forward(self, ids: Tensor) -> Tensor:
        # Only the rows that are looked up are turned into floats, not the whole table.
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
    r"""Store the matrices of a classifier in 8 bits: $\mathrm{round}(w / s)$ with $s = \max |w| / 127$ of each row.

    The model still computes with floats, so that its file becomes smaller but its latency does not.

    Args:
        model: A classifier for an exporter, see `graph_form`; it is changed.

    Returns:
        The same model; each weight has an error of at most half of its row's s.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Embedding):
            model.set_submodule(name, _Int8Embedding(module.weight.detach()))
        elif isinstance(module, nn.Linear):
            bias = None if module.bias is None else module.bias.detach()
            model.set_submodule(name, _Int8Linear(module.weight.detach(), bias))
    return model
