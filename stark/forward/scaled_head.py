"""A classification head that is trained in another unit than that of its output, installed for a fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from stark.errors import StarkError

__all__ = ["ScaledHead", "plain_head_", "scale_head_"]


class ScaledHead(nn.Linear):
    r"""A linear layer with the output $u (W x + b)$ for a unit $u$; $W$ and $b$ are trained.

    Its `state_dict` is that of the ordinary layer with the same output, $u W$ and $u b$.

    Args:
        linear: The layer that it replaces.
        unit: A power of two, so that the multiplication does not round and a resumed fit gets the same bits.

    Examples:
        >>> linear = nn.Linear(3, 1)
        >>> head = ScaledHead(linear, 32.0)
        >>> bool((32 * head.weight == linear.weight).all())
        True
    """

    def __init__(self, linear: nn.Linear, unit: float) -> None:
        """Take the layer's weights over."""
        nn.Module.__init__(self)
        assert math.frexp(unit)[0] == 0.5, unit
        self.in_features, self.out_features, self.unit = linear.in_features, linear.out_features, unit
        self.weight = nn.Parameter(linear.weight.detach() / unit, requires_grad=linear.weight.requires_grad)
        self.bias = nn.Parameter(linear.bias.detach() / unit, requires_grad=linear.bias.requires_grad)
        self.train(linear.training)

    def forward(self, input: Tensor) -> Tensor:
        """The output, in float32 or wider: in bfloat16 a large bias would lose what distinguishes the rows."""
        product = F.linear(input, self.weight)
        return self.unit * (product.to(torch.promote_types(product.dtype, torch.float32)) + self.bias)

    def plain(self) -> nn.Linear:
        """The ordinary layer with the same output."""
        linear = nn.Linear(self.in_features, self.out_features, device=self.weight.device, dtype=self.weight.dtype)
        for name, parameter in linear.named_parameters():
            own = self.get_parameter(name)
            parameter.data = own.detach() * self.unit
            parameter.requires_grad_(own.requires_grad)
        return linear.train(self.training)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for name, parameter in self.named_parameters():
            destination[prefix + name] = parameter.detach() * self.unit

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:  # noqa: ANN401 - torch's
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(state_dict[prefix + name] / self.unit)


def scale_head_(model: PreTrainedModel, unit: float, start: float | Sequence[float]) -> None:
    """Let a model train the last linear of its classification head in a unit, in place; call it before the optimizer.

    A new head, recognised by its bias of exactly 0, gets weights in this unit and starts at the given outputs.

    Args:
        model: A classifier.
        unit: A power of two.
        start: Output of a new head, or one for each logit.

    Raises:
        StarkError: If the head does not end in a linear layer with a bias.
    """
    name, linear = _last_linear(model)
    head = ScaledHead(linear, unit)
    if not linear.bias.any():
        with torch.no_grad():
            head.weight.copy_(linear.weight)
            head.bias.copy_(torch.as_tensor(start, dtype=torch.float64) / unit)
    model.set_submodule(name, head)


def plain_head_(model: PreTrainedModel) -> None:
    """Undo `scale_head_`, in place.

    Args:
        model: A classifier.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, ScaledHead):
            model.set_submodule(name, module.plain())


def _last_linear(model: PreTrainedModel) -> tuple[str, nn.Linear]:
    """The last linear outside of the encoder, which is the one that computes the logits, and its name."""
    inside = set(model.base_model.modules())
    linears = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module not in inside and module.out_features == model.config.num_labels
    ]
    if not linears or linears[-1][1].bias is None:
        raise StarkError(
            f"the head of {type(model).__name__} does not end in a linear layer with a bias, so that it cannot start "
            "at the mean of the labels: take another encoder; scores: divide them so that their standard deviation is 1"
        )
    return linears[-1]
