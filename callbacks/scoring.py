"""The pass over data that scores heads and neurons; pruning and teacher sparsification share it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from transformers import PreTrainedModel

from callbacks.functional.importance import UnitReduction, batch_importance, normalize_per_layer
from stark.choices import ScoreReduction, ScoringSplit
from stark.encoders.layers import encoder_layers
from stark.encoders.masking import unit_masks
from stark.forward.classifying import Batch, classify
from stark.processes import all_gather, processes
from stark.storage import hash_tensors, read_tensors, write_tensors

__all__ = ["UnitLoss", "UnitScores", "score_units", "scoring_batches"]

UnitLoss = Callable[[Tensor, Batch], Tensor]
"""From logits ``(batch, num_labels)`` and the batch to one loss per example, ``(batch,)``."""

_KINDS = ("heads", "neurons")


@dataclass(frozen=True)
class UnitScores:
    """Raw importance of every unit by loss: ``scores.heads["expressiveness"][layer]`` is ``(num_heads,)``.

    Args:
        heads: By loss, one float64 tensor per layer.
        neurons: By loss, one float64 tensor per layer.
        model: Hash of the weights that were scored.
    """

    heads: dict[str, list[Tensor]]
    neurons: dict[str, list[Tensor]]
    model: str

    def normalized(self, loss: str) -> tuple[list[Tensor], list[Tensor]]:
        """Head and neuron scores of a loss, each layer divided by its norm.

        Args:
            loss: Such as ``expressiveness``.

        Returns:
            Heads and neurons, one tensor per layer each.
        """
        return normalize_per_layer(self.heads[loss]), normalize_per_layer(self.neurons[loss])

    def plus(self, other: UnitScores) -> UnitScores:
        """The scores of the rows of both: raw scores are sums over rows.

        Args:
            other: Scores of the same model by the same losses.

        Returns:
            Their sum.

        Raises:
            ValueError: If they are of another model.
        """
        if other.model != self.model:
            raise ValueError("scores of two models cannot be added: score the same weights")
        heads, neurons = (
            {loss: [a + b for a, b in zip(own[loss], theirs[loss], strict=True)] for loss in own}
            for own, theirs in ((self.heads, other.heads), (self.neurons, other.neurons))
        )
        return UnitScores(heads, neurons, self.model)

    def save(self, path: Path) -> None:
        """Write raw and normalised scores as safetensors, keys ``heads/expressiveness/raw/0``.

        Args:
            path: The file; its folder is made.
        """
        tensors: dict[str, Tensor] = {}
        for kind in _KINDS:
            for loss, raw in getattr(self, kind).items():
                for layer, (score, normalized) in enumerate(zip(raw, normalize_per_layer(raw), strict=True)):
                    tensors[f"{kind}/{loss}/raw/{layer}"] = score.contiguous()
                    tensors[f"{kind}/{loss}/normalized/{layer}"] = normalized.contiguous()
        write_tensors(path, tensors, model=self.model)

    @classmethod
    def load(cls, path: Path, model: PreTrainedModel, losses: Iterable[str]) -> UnitScores:
        """Read saved scores for a model.

        Args:
            path: A file that `save` wrote.
            model: The model to be cut, which must be the one that was scored.
            losses: The names that are needed.

        Returns:
            The raw scores.

        Raises:
            ValueError: If the file is no such file, damaged, or of another model.
        """
        tensors, notes = read_tensors(path)
        layers = encoder_layers(model)
        wanted = {"heads": [layer.num_heads for layer in layers], "neurons": [layer.num_neurons for layer in layers]}
        read = {kind: {loss: _raw_scores(tensors, f"{kind}/{loss}/raw") for loss in losses} for kind in _KINDS}
        for kind in _KINDS:
            for loss, scores in read[kind].items():
                if (sizes := [score.numel() for score in scores]) != wanted[kind]:
                    raise ValueError(
                        f"{path}: scores {loss} are for {sizes} {kind} per layer, the model has {wanted[kind]}: score "
                        "this model, or cut the one that was scored"
                    )
        if notes.get("model") != hash_tensors(model.state_dict()):
            raise ValueError(
                f"{path}: the scores are of a model with other weights: score this model, or cut the one that was "
                "scored"
            )
        return cls(heads=read["heads"], neurons=read["neurons"], model=notes["model"])


def _raw_scores(tensors: Mapping[str, Tensor], prefix: str) -> list[Tensor]:
    """All layers that a file has."""
    layers = itertools.takewhile(lambda layer: f"{prefix}/{layer}" in tensors, itertools.count())
    return [tensors[f"{prefix}/{layer}"] for layer in layers]


def score_units(
    model: PreTrainedModel,
    batches: Iterable[Batch],
    losses: Mapping[str, UnitLoss],
    reduction: UnitReduction = "example",
) -> UnitScores:
    """Score every head and neuron by the gradients of masks fixed at 1, for several losses from one forward pass.

    Only mask gradients are computed. The model runs in eval mode and is left as it was.

    The processes of a run share the batches: each computes every n-th one, and all add everybody's parts in the order
    of the batches. The sums thus have the bits that one process gets. All processes have to call this, with the same
    model, batches and losses.

    Source: the paper's section 3.2; GeneZC/StarK `run_pruning.py`, `run_sparsification.py`.

    Args:
        model: The model whose units are scored.
        batches: On the model's device, in a fixed order.
        losses: Named losses, each giving one value per example.
        reduction: See `batch_importance`.

    Returns:
        Raw scores, summed over the batches in float64.
    """
    layers = encoder_layers(model)
    sizes = [layer.num_heads for layer in layers] + [layer.num_neurons for layer in layers]
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
                    part = _score_batch(model, batch, losses, reduction, sizes)
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
    split = len(layers)
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
) -> Tensor:
    """What a batch adds to the scores of all losses and layers, one after the other: ``(losses * units,)``."""
    inputs = batch["input_ids"]
    # A mask per example costs nothing and separates the examples' gradients in one backward pass.
    masks = [torch.ones(len(inputs), n, device=inputs.device, dtype=model.dtype, requires_grad=True) for n in sizes]
    split = len(sizes) // 2
    with unit_masks(model, masks[:split], masks[split:]):
        logits = classify(model, batch)
    parts: list[Tensor] = []
    for number, loss in enumerate(losses.values(), start=1):
        gradients = torch.autograd.grad(loss(logits, batch).sum(), masks, retain_graph=number < len(losses))
        parts += [batch_importance(gradient.cpu(), reduction) for gradient in gradients]
    return torch.cat(parts)


@runtime_checkable
class _ScoringData(Protocol):
    def scoring_dataloader(self, split: ScoringSplit, grouped: bool = True) -> Iterable[Batch]: ...


def scoring_batches(
    data: object, split: ScoringSplit, reduction: ScoreReduction, device: torch.device
) -> Iterable[Batch]:
    """The data module's batches for scoring.

    Args:
        data: A data module, set up, that has ``scoring_dataloader(split, grouped)``.
        split: The part of the data.
        reduction: ``batch`` depends on which rows share a batch, so rows keep their order; else they are grouped by
            length.
        device: Where the batches go.

    Yields:
        Batches.

    Raises:
        TypeError: If the data module has no such method.
    """
    if not isinstance(data, _ScoringData):
        raise TypeError(f"{type(data).__name__} has no scoring_dataloader(split, grouped), which scoring needs")
    for batch in data.scoring_dataloader(split, grouped=reduction == "example"):
        yield {name: tensor.to(device) for name, tensor in batch.items()}
