"""Scores of heads and neurons, in memory and in a file."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel

from stark.encoders.layers import encoder_layers
from stark.encoders.units import UnitValues
from stark.errors import StarkError
from stark.scores.importance import normalize_per_layer
from stark.storage import hash_tensors, read_tensors, write_tensors

__all__ = ["UnitScores"]


_KINDS = ("heads", "neurons")


@dataclass(frozen=True)
class UnitScores:
    """Raw importance of every unit by name of the score: ``scores.heads["expressiveness"][layer]`` is ``(num_heads,)``.

    Args:
        heads: One float64 tensor per layer.
        neurons: One float64 tensor per layer.
        model: Hash of the weights that were scored.
    """

    heads: dict[str, list[Tensor]]
    neurons: dict[str, list[Tensor]]
    model: str

    def normalized(self, name: str) -> UnitValues:
        """Head and neuron scores of a name, each layer divided by its norm.

        Args:
            name: Such as ``expressiveness``.

        Returns:
            The normalised scores.
        """
        return UnitValues(normalize_per_layer(self.heads[name]), normalize_per_layer(self.neurons[name]))

    def plus(self, other: UnitScores) -> UnitScores:
        """The scores over the rows of both, because raw scores are sums over rows.

        Args:
            other: Scores of the same model with the same names.

        Returns:
            The sum of both.

        Raises:
            StarkError: If they belong to another model.
        """
        if other.model != self.model:
            raise StarkError("scores of two models cannot be added: score the same weights")
        heads, neurons = (
            {name: [a + b for a, b in zip(own[name], theirs[name], strict=True)] for name in own}
            for own, theirs in ((self.heads, other.heads), (self.neurons, other.neurons))
        )
        return UnitScores(heads, neurons, self.model)

    def save(self, path: Path) -> None:
        """Write raw and normalised scores as safetensors, keys ``heads/expressiveness/raw/0``.

        Args:
            path: The file; its folder is created.
        """
        tensors: dict[str, Tensor] = {}
        for kind in _KINDS:
            for name, raw in getattr(self, kind).items():
                for layer, (score, normalized) in enumerate(zip(raw, normalize_per_layer(raw), strict=True)):
                    tensors[f"{kind}/{name}/raw/{layer}"] = score.contiguous()
                    tensors[f"{kind}/{name}/normalized/{layer}"] = normalized.contiguous()
        write_tensors(path, tensors, model=self.model)

    @classmethod
    def load(cls, path: Path, model: PreTrainedModel, names: Sequence[str]) -> UnitScores:
        """Read saved scores for a model.

        Args:
            path: A file that `save` wrote.
            model: The model to be cut, which must be the one that was scored.
            names: Names of the scores that are needed.

        Returns:
            The raw scores.

        Raises:
            StarkError: If the file has another format, is damaged, or belongs to another model.
        """
        tensors, notes = read_tensors(path)
        layers = encoder_layers(model)
        wanted = {"heads": [layer.num_heads for layer in layers], "neurons": [layer.num_neurons for layer in layers]}
        read = {kind: {name: _raw_scores(tensors, f"{kind}/{name}/raw") for name in names} for kind in _KINDS}
        for kind in _KINDS:
            for name, scores in read[kind].items():
                if (sizes := [score.numel() for score in scores]) != wanted[kind]:
                    raise StarkError(
                        f"{path}: scores {name} are for {sizes} {kind} per layer, the model has {wanted[kind]}: score "
                        "this model, or cut the one that was scored"
                    )
        if notes.get("model") != hash_tensors(model.state_dict()):
            raise StarkError(
                f"{path}: the scores are of a model with other weights: score this model, or cut the one that was "
                "scored"
            )
        return cls(heads=read["heads"], neurons=read["neurons"], model=notes["model"])


def _raw_scores(tensors: Mapping[str, Tensor], prefix: str) -> list[Tensor]:
    """The raw scores of all layers in a file."""
    layers = itertools.takewhile(lambda layer: f"{prefix}/{layer}" in tensors, itertools.count())
    return [tensors[f"{prefix}/{layer}"] for layer in layers]
