"""A classifier as exporters can take it: blocks that lost all their units as the constant that they add."""

import copy

from torch import Tensor, nn
from transformers import PreTrainedModel

__all__ = ["graph_form"]


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
