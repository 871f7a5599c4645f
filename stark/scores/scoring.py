"""The pass over data that scores heads and neurons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from stark.encoders.layers import encoder_layers
from stark.encoders.masking import unit_masks
from stark.encoders.units import UnitMasks
from stark.forward.classifying import Batch, Outputs, outputs_of
from stark.processes import all_gather, processes
from stark.scores.importance import UnitReduction, batch_importance
from stark.scores.unit_scores import UnitScores
from stark.storage import hash_tensors

__all__ = ["UnitLoss", "score_units"]


UnitLoss = Callable[[Outputs, Batch], Tensor]
"""From the outputs for a batch, and the batch, to one loss per example, ``(batch,)``."""


def score_units(
    model: PreTrainedModel,
    batches: Iterable[Batch],
    losses: Mapping[str, UnitLoss],
    reduction: UnitReduction = "example",
    layers: Sequence[int] = (),
) -> UnitScores:
    """Score every head and neuron by the gradients of masks fixed at 1, for several losses from one forward pass.

    Only mask gradients are computed. The model runs in eval mode and is left as it was.

    The processes of a run share the batches: each computes every n-th one, and all add everybody's parts in the order
    of the batches. The sums thus have the bits that one process gets. All processes have to call this, with the same
    model, batches and losses.

    Source: the paper's section 3.2; GeneZC/StarK `run_pruning.py`, `run_sparsification.py`.

    Args:
        model: The model whose units are scored.
        batches: Batches on the model's device, in a fixed order.
        losses: Named losses, each giving one value per example.
        reduction: See `batch_importance`.
        layers: Numbers of the layers whose hidden states the losses compare.

    Returns:
        Raw scores, summed over the batches in float64.
    """
    views = encoder_layers(model)
    sizes = [layer.num_heads for layer in views] + [layer.num_neurons for layer in views]
    rank, world_size = processes()
    total = part = torch.zeros(len(losses) * sum(sizes), dtype=torch.float64)
    was_training = model.training
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval().requires_grad_(False)  # so that the backward pass goes to the masks alone
    try:
        with torch.enable_grad():
            number = -1
            for number, batch in enumerate(batches):
                if number % world_size == rank:
                    part = _score_batch(model, batch, losses, reduction, sizes, layers)
                if number % world_size == world_size - 1:
                    total = _add_in_order(total, all_gather(part))
            if unfinished := (number + 1) % world_size:
                total = _add_in_order(total, all_gather(part)[:unfinished])
    finally:
        model.train(was_training)
        for parameter in learning:
            parameter.requires_grad_(True)
    rows = total.view(len(losses), sum(sizes))
    by_loss = {loss: [score.clone() for score in row.split(sizes)] for loss, row in zip(losses, rows, strict=True)}
    split = len(views)
    return UnitScores(
        heads={loss: scores[:split] for loss, scores in by_loss.items()},
        neurons={loss: scores[split:] for loss, scores in by_loss.items()},
        model=hash_tensors(model.state_dict()),
    )


def _add_in_order(total: Tensor, parts: Iterable[Tensor]) -> Tensor:
    for part in parts:  # one by one: another order would round otherwise
        total = total + part
    return total


def _score_batch(
    model: PreTrainedModel,
    batch: Batch,
    losses: Mapping[str, UnitLoss],
    reduction: UnitReduction,
    sizes: list[int],
    layers: Sequence[int],
) -> Tensor:
    """What a batch adds to the scores of all losses and layers, one after the other: ``(losses * units,)``."""
    inputs = batch["input_ids"]
    # A mask per example costs nothing and separates the examples' gradients in one backward pass.
    masks = [torch.ones(len(inputs), n, device=inputs.device, dtype=model.dtype, requires_grad=True) for n in sizes]
    split = len(sizes) // 2
    with unit_masks(model, UnitMasks(masks[:split], masks[split:])):
        outputs = outputs_of(model, batch, layers)
    parts: list[Tensor] = []
    for number, loss in enumerate(losses.values(), start=1):
        gradients = torch.autograd.grad(loss(outputs, batch).sum(), masks, retain_graph=number < len(losses))
        parts += [batch_importance(gradient.cpu(), reduction) for gradient in gradients]
    return torch.cat(parts)
