"""Shrink a model in the middle of its training, together with its optimizer."""

from __future__ import annotations

import copy

import torch
from torch.optim import Optimizer
from transformers import PreTrainedModel

from stark.encoders.cutting import shrink_
from stark.encoders.units import UnitMasks

__all__ = ["shrink_trained_"]


@torch.no_grad()
def shrink_trained_(model: PreTrainedModel, masks: UnitMasks, optimizer: Optimizer) -> PreTrainedModel:
    """Remove heads and neurons from a model that an optimizer trains; the optimizer trains what is left.

    What the optimizer knows of a weight, such as the moments of Adam, is cut like the weight itself, so that training
    goes on as if the removed units had never been there. Learning rates, schedules and hooks are not touched.

    Args:
        model: A classifier; it may already be shrunk.
        masks: A mask for each unit that the model has now; 1 or True keeps, 0 or False removes.
        optimizer: The optimizer, which may train other parameters as well.

    Returns:
        The same model, without gradients.

    Raises:
        StarkError: If a mask does not fit or holds other values than 0 and 1, or the family is not supported.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    states = {name: optimizer.state.get(parameter, {}) for parameter, name in names.items()}
    # State of the shape of the weights is cut in copies of the model that hold it in the place of the weights.
    kinds = {
        kind: shrink_(_holding(model, {name: state[kind] for name, state in states.items() if kind in state}), masks)
        for kind in _kinds_like_weights(names, states)
    }
    shrink_(model, masks)
    left = dict(model.named_parameters())
    for group in optimizer.param_groups:
        group["params"] = [left[names[old]] if old in names else old for old in group["params"]]
    for old, name in names.items():
        optimizer.state.pop(old, None)
        if state := states[name]:
            cut = {kind: copied.get_parameter(name).detach() for kind, copied in kinds.items() if kind in state}
            optimizer.state[left[name]] = {**state, **cut}
    optimizer.zero_grad()
    return model


def _kinds_like_weights(
    names: dict[torch.nn.Parameter, str], states: dict[str, dict[str, torch.Tensor]]
) -> dict[str, None]:
    """Keys of the optimizer's state whose values have the shapes of the weights, in a fixed order."""
    return {
        kind: None
        for parameter, name in names.items()
        for kind, value in states[name].items()
        if isinstance(value, torch.Tensor) and value.shape == parameter.shape
    }


def _holding(model: PreTrainedModel, values: dict[str, torch.Tensor]) -> PreTrainedModel:
    """A copy of the model with other values in the place of some weights."""
    copied = copy.deepcopy(model)
    for name, value in values.items():
        copied.get_parameter(name).copy_(value)
    return copied
