"""Values, masks and indices of the heads and neurons of each layer of an encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["KeptUnits", "UnitMasks", "UnitValues"]


Indices = tuple[int, ...]


class UnitValues(NamedTuple):
    """A number for every head and every FFN neuron of a model, to rank them: the lowest are removed first.

    Args:
        heads: One tensor ``(num_heads,)`` per layer.
        neurons: One tensor ``(num_neurons,)`` per layer.
    """

    heads: list[Tensor]
    neurons: list[Tensor]


class UnitMasks(NamedTuple):
    """A mask for every head and every FFN neuron of a model: 1 or True keeps a unit, 0 or False drops it.

    Args:
        heads: One tensor ``(num_heads,)`` per layer, or ``(batch, num_heads)`` with a mask for each example.
        neurons: One tensor ``(num_neurons,)`` or ``(batch, num_neurons)`` per layer.

    Examples:
        >>> masks = UnitMasks([torch.tensor([True, False])], [torch.tensor([True, True, False])])
        >>> masks.to("cpu", torch.float32).heads
        [tensor([1., 0.])]
    """

    heads: list[Tensor]
    neurons: list[Tensor]

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "UnitMasks":
        """The masks on a device and in a type.

        Args:
            device: The new device.
            dtype: The new type.

        Returns:
            New masks.
        """
        return UnitMasks(
            [mask.to(device, dtype) for mask in self.heads], [mask.to(device, dtype) for mask in self.neurons]
        )


@dataclass(frozen=True)
class KeptUnits:
    """Heads and neurons that each layer kept, numbered as in the layer of the original (dense) model.

    Args:
        heads: Per layer, ascending indices of its heads.
        neurons: Per layer, ascending indices of its FFN neurons.

    Raises:
        ValueError: If the two differ in their number of layers, or indices are negative or not ascending.

    Examples:
        >>> units = KeptUnits(heads=((0, 1, 3), ()), neurons=((0, 1, 2, 3, 7), (5,)))
        >>> units.to_json()
        {'heads': ['0-1,3', ''], 'neurons': ['0-3,7', '5']}
        >>> KeptUnits.from_json(units.to_json()) == units
        True
    """

    heads: tuple[Indices, ...]
    neurons: tuple[Indices, ...]

    def __post_init__(self) -> None:
        """Check the indices."""
        if len(self.heads) != len(self.neurons):
            raise ValueError(f"kept units name {len(self.heads)} layers of heads but {len(self.neurons)} of neurons")
        for kind, layers in (("head", self.heads), ("neuron", self.neurons)):
            for number, indices in enumerate(layers):
                if any(index < 0 for index in indices) or any(a >= b for a, b in pairwise(indices)):
                    raise ValueError(f"kept {kind}s of layer {number} are not ascending indices: {list(indices)}")

    @classmethod
    def all_of(cls, num_heads: Sequence[int], num_neurons: Sequence[int]) -> "KeptUnits":
        """Every unit of layers with these sizes.

        Examples:
            >>> KeptUnits.all_of([2], [3])
            KeptUnits(heads=((0, 1),), neurons=((0, 1, 2),))
        """
        return cls(tuple(tuple(range(n)) for n in num_heads), tuple(tuple(range(n)) for n in num_neurons))

    @classmethod
    def from_json(cls, data: Mapping[str, Sequence[str]]) -> "KeptUnits":
        """Read what `to_json` wrote.

        Raises:
            ValueError: If ``data`` has another format.
        """
        if not isinstance(data, Mapping) or set(data) != {"heads", "neurons"}:
            raise ValueError(f"kept units need the keys heads and neurons, got {data!r}")
        return cls(*(tuple(_parse_ranges(text) for text in data[kind]) for kind in ("heads", "neurons")))

    def to_json(self) -> dict[str, list[str]]:
        """Ranges per layer, such as ``"0-3,7"``, short enough to be read in a config.json."""
        return {
            "heads": [_format_ranges(indices) for indices in self.heads],
            "neurons": [_format_ranges(indices) for indices in self.neurons],
        }

    def select(self, masks: UnitMasks) -> "KeptUnits":
        """The units that are left after masks over *these* units are applied, so that a model can be cut repeatedly.

        Args:
            masks: Masks over these units, one per layer and kind.

        Raises:
            ValueError: If a mask does not fit or holds other values than 0 and 1.

        Examples:
            >>> units = KeptUnits(heads=((1, 3),), neurons=((0, 4, 5),))
            >>> units.select(UnitMasks([torch.tensor([0, 1])], [torch.tensor([True, False, True])]))
            KeptUnits(heads=((3,),), neurons=((0, 5),))
        """
        return KeptUnits(_select("head", self.heads, masks.heads), _select("neuron", self.neurons, masks.neurons))

    def masks_within(self, current: "KeptUnits") -> UnitMasks:
        """Boolean masks over the units of ``current`` that keep exactly these units.

        Returns:
            The masks.

        Raises:
            ValueError: If ``current`` lacks one of these units.

        Examples:
            >>> units = KeptUnits(heads=((3,),), neurons=((0, 5),))
            >>> units.masks_within(KeptUnits(heads=((1, 3),), neurons=((0, 4, 5),)))
            UnitMasks(heads=[tensor([False,  True])], neurons=[tensor([ True, False,  True])])
        """
        return UnitMasks(_masks("heads", self.heads, current.heads), _masks("neurons", self.neurons, current.neurons))

    def of_layers(self, layers: Sequence[int]) -> "KeptUnits":
        """The units of some of the layers, in that order."""
        return KeptUnits(tuple(self.heads[i] for i in layers), tuple(self.neurons[i] for i in layers))


def _select(kind: str, layers: tuple[Indices, ...], masks: Sequence[Tensor]) -> tuple[Indices, ...]:
    if len(masks) != len(layers):
        raise ValueError(f"{len(masks)} {kind} masks for {len(layers)} layers")
    kept = []
    for number, (indices, mask) in enumerate(zip(layers, masks, strict=True)):
        if tuple(mask.shape) != (len(indices),):
            raise ValueError(f"{kind} mask of layer {number} has shape {tuple(mask.shape)}, not ({len(indices)},)")
        values = mask.tolist()
        if any(value not in (0, 1) for value in values):
            raise ValueError(f"{kind} mask of layer {number} holds other values than 0 (drop) and 1 (keep)")
        kept.append(tuple(index for index, value in zip(indices, values, strict=True) if value))
    return tuple(kept)


def _masks(kind: str, wanted: tuple[Indices, ...], present: tuple[Indices, ...]) -> list[Tensor]:
    if len(wanted) != len(present):
        raise ValueError(f"kept {kind} are given for {len(wanted)} layers, the model has {len(present)}")
    masks = []
    for number, (want, have) in enumerate(zip(wanted, present, strict=True)):
        wanted_here = set(want)
        if missing := sorted(wanted_here - set(have)):
            raise ValueError(f"layer {number} does not have the {kind} {_format_ranges(missing)}")
        # The device is named because transformers builds models under torch.device('meta').
        masks.append(torch.tensor([index in wanted_here for index in have], dtype=torch.bool, device="cpu"))
    return masks


def _format_ranges(indices: Sequence[int]) -> str:
    ranges: list[list[int]] = []
    for index in indices:
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in ranges)


def _parse_ranges(text: str) -> Indices:
    indices: list[int] = []
    try:
        for part in text.split(",") if text else []:
            first, _, last = part.partition("-")
            if indices and int(first) <= indices[-1]:  # checked before a huge range takes memory
                raise ValueError(first)
            indices.extend(range(int(first), int(last or first) + 1))
    except (AttributeError, ValueError):
        raise ValueError(f"not a list of ranges such as '0-3,7': {text!r}") from None
    return tuple(indices)
