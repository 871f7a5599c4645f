"""Refitting: output projections of a cut model are solved so that its hidden states are the uncut model's again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from stark.encoders.families.table import family_of
from stark.encoders.layer_view import EncoderLayer
from stark.encoders.layers import encoder_layers
from stark.errors import StarkError
from stark.forward.classifying import Batch, outputs_of
from stark.forward.evaluating import evaluating
from stark.least_squares import LeastSquares
from stark.processes import all_gather

__all__ = ["check_refit", "output_projections", "refit_"]


@torch.no_grad()
def refit_(
    model: PreTrainedModel, dense: PreTrainedModel, batches: Iterable[Batch], ridge: float = 1e-3
) -> PreTrainedModel:
    r"""Solve a cut model's output projections by least squares, so that its hidden states are the uncut model's again.

    Each layer adds to its hidden states what its attention returns, and then what its FFN returns. Let $h$ be the
    hidden states before such an addition in the cut model, $x$ the input of its output projection (the contexts of the
    kept heads, or the activations of the kept neurons), and $h^*$ and $f^*$ the hidden states and the added values in
    the uncut model. For each projection, from the first layer to the last one and attention before FFN, weight and bias
    minimise

    $$\sum_{\text{tokens}} \lVert W x + b - (h^* + f^* - h) \rVert^2 + \lambda \lVert W - W_{\text{cut}} \rVert^2,$$

    where $h$ and $x$ come from projections that are refitted already. So each projection also corrects what the blocks
    before it lost, and projections of blocks that lost no unit are refitted as well. A block without units gets a new
    bias, if its projection has one.

    No labels are needed. Padding is ignored. All other tokens count in all layers, even in the last one, whose first
    tokens alone reach the logits of most families: there is one per row, and few rows do not determine the weights of
    hundreds of neurons. The models run in eval mode and are restored afterwards. All processes must
    call this function with the same models and batches; all get the weights that process 0 computed.

    Source: Park et al., 2024, "Accurate Retraining-free Pruning for Pretrained Encoder-based Language Models"
    (K-prune), for the order and the target; Kwon et al., 2022, "A Fast Post-Training Pruning Framework for
    Transformers", for least squares after a cut, there of masks. Deviation: all units are removed before, and the
    penalty pulls towards the cut weights.

    Args:
        model: The cut model; weights and biases of its output projections are changed.
        dense: The model that it was cut from, on the same device.
        batches: Batches on the models' device, in a fixed order.
        ridge: $\lambda$ relative to the mean variance of the inputs, more than 0.

    Returns:
        The cut model.

    Raises:
        StarkError: If the models have different numbers of layers or a part between two layers, their layers share
            weights, or there is no batch.
    """
    check_refit(model)
    layers, uncut = encoder_layers(model), encoder_layers(dense)
    if len(layers) != len(uncut):
        raise StarkError(f"cannot refit {len(layers)} layers to {len(uncut)}: refit a model that lost no layer")
    with evaluating(model), evaluating(dense):
        states = [_begin(model, batch) for batch in batches]
        if not states:
            raise StarkError("cannot refit a model without rows: give at least one batch")
        for layer, theirs in zip(layers, uncut, strict=True):
            for state in states:
                state.ask(theirs, layer)
            for output, rows_of in ((layer.attention_output, _State.attention), (layer.ffn_out, _State.ffn)):
                _refit_projection_(output, (rows_of(state, layer) for state in states), ridge)
            for state in states:
                state.advance(layer)
    return model


def check_refit(model: PreTrainedModel) -> None:
    """Refuse models whose output projections cannot be solved one by one.

    Args:
        model: A classifier.

    Raises:
        StarkError: If the weights of its layers serve several passes.
    """
    if (family := family_of(model)).shares_layers:
        raise StarkError(
            f"cannot refit this {family.model_type} encoder: a projection is solved for one pass, but its layers share "
            "weights, so leave out refit"
        )


def output_projections(model: PreTrainedModel) -> dict[str, Tensor]:
    """The parameters that `refit_` changes.

    Args:
        model: A classifier.

    Returns:
        Copies on the CPU, by their names in the model's state.
    """
    linears = [linear for layer in encoder_layers(model) for linear in (layer.attention_output, layer.ffn_out)]
    own = {id(parameter) for linear in linears for parameter in linear.parameters()}
    return {
        name: parameter.detach().cpu().clone() for name, parameter in model.named_parameters() if id(parameter) in own
    }


def _refit_projection_(output: nn.Linear, rows: Iterable[tuple[Tensor, Tensor]], ridge: float) -> None:
    # Other devices may lack float64.
    device = output.weight.device if output.weight.is_cuda else torch.device("cpu")
    has_bias = output.bias is not None
    fit = LeastSquares(output.in_features, output.out_features, device, bias=has_bias)
    for inputs, targets in rows:
        fit.add(inputs, targets=targets)
    weight, bias = fit.solve(output.weight, ridge)
    # Another processor may round differently.
    output.weight.copy_(all_gather(weight)[0])
    if has_bias:
        output.bias.copy_(all_gather(bias)[0])


_Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass
class _State:
    """A batch between two layers of both models.

    Args:
        tokens: Which positions have a token, ``(batch, length)``.
        hidden: Hidden states of the cut model, ``(batch, length, hidden_size)``.
        uncut: Those of the uncut model.
        arguments: For each layer of the cut model its arguments without the hidden states.
        wanted: Sums of hidden states and added values in the uncut model's layer: of attention, and of the FFN.
    """

    tokens: Tensor
    hidden: Tensor
    uncut: Tensor
    arguments: dict[nn.Module, _Arguments]
    wanted: tuple[Tensor, ...] = ()

    def ask(self, theirs: EncoderLayer, layer: EncoderLayer) -> None:
        """Compute the next layer of the uncut model, and give it the arguments of the cut model's layer."""
        self.arguments[theirs.module] = self.arguments[layer.module]
        modules = (theirs.attention_output, theirs.middle, theirs.ffn_out, theirs.module)
        (_, attended), (middle, _), (_, added), (_, after) = _seen(modules, lambda: self._call(theirs, self.uncut))
        self.wanted = self.uncut + attended, middle + added
        self.uncut = after

    def attention(self, layer: EncoderLayer) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the attention's output projection, ``(tokens, ...)``."""
        ((context, _),) = _seen((layer.attention_output,), lambda: self._call(layer, self.hidden))
        return context[self.tokens], (self.wanted[0] - self.hidden)[self.tokens]

    def ffn(self, layer: EncoderLayer) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the FFN's output projection, ``(tokens, ...)``."""
        modules = (layer.middle, layer.ffn_out)
        (middle, _), (neurons, _) = _seen(modules, lambda: self._call(layer, self.hidden))
        return neurons[self.tokens], (self.wanted[1] - middle)[self.tokens]

    def advance(self, layer: EncoderLayer) -> None:
        """Compute the next layer of the cut model."""
        self.hidden = self._call(layer, self.hidden)

    def _call(self, layer: EncoderLayer, hidden: Tensor) -> Tensor:
        args, kwargs = self.arguments[layer.module]
        return _first(layer.module(hidden, *args, **kwargs))


def _begin(model: PreTrainedModel, batch: Batch) -> _State:
    """A batch before the first layer, where both models have the same hidden states."""
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    arguments: dict[nn.Module, _Arguments] = {}

    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:  # noqa: ANN401
        inputs.append(args[0])
        outputs.append(_first(output))
        arguments[module] = args[1:], kwargs

    with ExitStack() as hooks:
        for layer in encoder_layers(model):
            hooks.callback(layer.module.register_forward_hook(keep, with_kwargs=True).remove)
        outputs_of(model, batch, layers=(0,))  # with layers, because otherwise the last layer has fewer tokens
    for number, (given, after) in enumerate(zip(outputs, inputs[1:], strict=False)):
        if given is not after:
            raise StarkError(
                f"cannot refit this {family_of(model).model_type} encoder: it has a part between layers {number} and "
                f"{number + 1}, such as a convolution, so leave out refit"
            )
    return _State(batch["attention_mask"].bool(), inputs[0], inputs[0], arguments)


def _seen(modules: Sequence[nn.Module], call: Callable[[], object]) -> list[tuple[Tensor, Tensor]]:
    """The first input and the (first) output of modules during a call."""
    found: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        found[module] = inputs[0], _first(output)

    with ExitStack() as hooks:
        for module in modules:
            hooks.callback(module.register_forward_hook(keep).remove)
        call()
    return [found[module] for module in modules]


def _first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Hidden states in the output of a layer, which in some families is a tuple."""
    return output if isinstance(output, Tensor) else output[0]
