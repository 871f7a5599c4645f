"""Milliseconds: the budget that counts the time that units take on this machine."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import isotonic_regression
from torch import Tensor
from transformers import PreTrainedModel

from stark.budgets.cost import CostBudget, LayerCost
from stark.encoders.cutting import shrink_
from stark.encoders.layers import encoder_layers, encoder_passes
from stark.encoders.units import UnitMasks, UnitValues
from stark.errors import StarkError
from stark.forward.classifying import Batch, classify, needed_inputs
from stark.forward.latency import fastest_calls
from stark.model_folders.input_checks import most_tokens
from stark.processes import all_gather_object, processes
from stark.storage import cache_folder, folder_lock, is_file, write_json

__all__ = ["LatencyTable", "Milliseconds", "latency_table", "measure_table"]

_log = logging.getLogger(__name__)

# Fractions of the units that are kept in the models that are measured.
_FRACTIONS = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)
# Neurons of these models are rounded to multiples of this number, as they are in students.
_ROUND_TO = 8
# Seconds to wait for another process that measures: two at a time would disturb each other, and find other numbers.
_PATIENCE = 900.0


class LatencyTable(NamedTuple):
    """What the attention and the FFN of a layer take, by their numbers of units.

    Args:
        heads: Numbers of heads, ascending from 0.
        of_heads: Milliseconds of a layer's attention with each of them, 0 for none, and never descending.
        neurons: Numbers of neurons, likewise.
        of_neurons: Milliseconds of a layer's FFN.

    Examples:
        >>> table = LatencyTable([0, 4], [0.0, 2.0], [0, 64, 128], [0.0, 1.0, 1.5])
        >>> table(2, 96)
        2.25
        >>> table(6, 0)  # more heads than were measured
        3.0
    """

    heads: Sequence[float]
    of_heads: Sequence[float]
    neurons: Sequence[float]
    of_neurons: Sequence[float]

    def __call__(self, heads: int, neurons: int) -> float:
        """The milliseconds of a layer; between measured numbers they lie on a straight line."""
        return _between(heads, self.heads, self.of_heads) + _between(neurons, self.neurons, self.of_neurons)


def _between(number: int, numbers: Sequence[float], times: Sequence[float]) -> float:
    return float(np.interp(number, numbers, times)) * max(1.0, number / numbers[-1])


class Milliseconds(CostBudget):
    """Counts measured time: the sparsity is a fraction of the milliseconds that heads and neurons take for a batch.

    Time is not proportional to operations: narrow matrix products use a processor badly, and softmax and memory take
    time, too. How long the attention takes with some of its heads, and the FFN with some of its neurons, is measured
    once for a shape of model, a device, and a number of threads, and kept in the cache folder (``$STARK_CACHE`` or
    ``~/.cache/stark-lightning``), so that a run that goes on finds the same numbers. Embeddings, LayerNorms, and the
    classifier do not count.

    Source: tables of block times as in Kurtic et al., 2023, "ZipLM: Inference-Aware Structured Pruning of Language
    Models".

    Args:
        length: Number of tokens of a row.
        rows: Number of rows of the batch. One is what a service answers; more say how many rows a second can be done.
        whole_ffns: Numbers of layers whose FFN keeps all neurons, such as ``[0, -1]`` for the first and the last.

    Raises:
        StarkError: If a number is below 1.

    Examples:
        ```yaml
        student: {sparsity: 0.6, budget: {class_path: stark.Milliseconds, init_args: {length: 64, whole_ffns: [0]}}}
        ```
    """

    def __init__(self, length: int = 128, rows: int = 1, whole_ffns: list[int] | None = None) -> None:
        """Check the numbers."""
        for name, value in (("length", length), ("rows", rows)):
            if value < 1:
                raise StarkError(f"{name} is {value}: give a whole number, at least 1")
        self.length, self.rows, self.whole_ffns = length, rows, tuple(whole_ffns or ())

    def layer_costs(self, model: PreTrainedModel) -> Sequence[LayerCost]:
        """What each layer takes.

        Args:
            model: The model; it is measured if there is no table for its shape.

        Returns:
            A function for each layer.
        """
        # The processes of a fit have to choose the same units.
        own = latency_table(model, self.rows, self.length) if processes()[0] == 0 else None
        table: LatencyTable = all_gather_object(own)[0]
        return [table] * len(encoder_layers(model))

    def masks(self, values: UnitValues, model: PreTrainedModel, sparsity: float) -> UnitMasks:
        """Keep the heads and the neurons with the highest values.

        Args:
            values: Values by which the units are ranked.
            model: The model.
            sparsity: The fraction of the time to remove, in [0, 1).

        Returns:
            Boolean masks; True keeps. What is kept takes at most the fraction that the sparsity leaves.

        Raises:
            StarkError: If the sparsity lies outside [0, 1), or too large for what ``whole_ffns`` keeps, or a layer of
                that number does not exist.
        """
        layers = len(values.neurons)
        if wrong := [number for number in self.whole_ffns if not -layers <= number < layers]:
            raise StarkError(f"whole_ffns names the layer {wrong[0]}: the model has the layers 0 to {layers - 1}")
        whole = {number % layers for number in self.whole_ffns}
        neurons = [
            torch.full_like(value, torch.inf) if layer in whole else value for layer, value in enumerate(values.neurons)
        ]
        masks = super().masks(UnitValues(values.heads, neurons), model, sparsity)
        if not all(masks.neurons[layer].all() for layer in whole):
            raise StarkError(
                f"sparsity is {sparsity:g}, for which neurons of the layers {sorted(whole)} would have to go: lower "
                "it, or name fewer layers in whole_ffns"
            )
        return masks


def latency_table(model: PreTrainedModel, rows: int, length: int) -> LatencyTable:
    """The table of a model's shape on this device, which is measured once and kept in the cache folder.

    Args:
        model: The model.
        rows: Number of rows of the batch.
        length: Number of tokens of a row.

    Returns:
        The table.

    Raises:
        StarkError: If the model has fewer positions than a row has tokens.
    """
    if length > (most := most_tokens(model.config)):
        raise StarkError(f"length is {length} but the encoder has positions for {most} tokens: give {most}, or less")
    of = _what_it_depends_on(model, rows, length)
    path = cache_folder() / f"latency-{hashlib.sha256(json.dumps(of).encode()).hexdigest()[:32]}.json"
    with folder_lock(cache_folder() / "measuring", patience=_PATIENCE):
        if (known := _read(path, of)) is not None:
            return known
        _log.info("measuring what heads and neurons take for %d x %d tokens; kept in %s", rows, length, path)
        table = measure_table(model, rows, length)
        write_json(path, {"of": of, **table._asdict()})
        return table


def _what_it_depends_on(model: PreTrainedModel, rows: int, length: int) -> dict[str, Any]:
    device = model.device
    layers = encoder_layers(model)
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.node(),
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "torch": torch.__version__,
        "model_type": model.config.model_type,
        "hidden_size": model.config.hidden_size,
        "head_size": layers[0].head_size,
        "heads": [layer.num_heads for layer in layers],
        "neurons": [layer.num_neurons for layer in layers],
        "passes": len(encoder_passes(model)),
        "dtype": str(model.dtype),
        "rows": rows,
        "length": length,
    }


def _read(path: Path, of: dict[str, Any]) -> LatencyTable | None:
    if not is_file(path):
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("of") != of:
            raise ValueError("it is of something else")
        return LatencyTable(**found)
    except (ValueError, KeyError, TypeError) as error:  # it can be made again
        _log.warning("%s: latencies are measured again: %s", path, error)
    return None


def measure_table(model: PreTrainedModel, rows: int, length: int) -> LatencyTable:
    """Measure what attention and FFN take with some of their units.

    All layers lose the same fraction of their heads, or of their neurons, and the whole model is measured. A layer's
    part is the time that is more than without any head, or any neuron, by the number of layers; where a layer's weights
    serve several passes, it is the time of all of them. Noise may make a smaller block slower, so that the times are
    brought into order by isotonic regression.

    Args:
        model: The model; it is not changed.
        rows: Number of rows of the batch.
        length: Number of tokens of a row.

    Returns:
        The table. Where layers differ in width, numbers of units are those of the mean layer.
    """
    layers = encoder_layers(model)
    heads, neurons = [layer.num_heads for layer in layers], [layer.num_neurons for layer in layers]
    candidates: dict[str, PreTrainedModel] = {}
    widths: dict[str, list[float]] = {"heads": [], "neurons": []}
    for fraction in _FRACTIONS:
        for kind, sizes, step in (("heads", heads, 1), ("neurons", neurons, _ROUND_TO)):
            kept = [min(round(fraction * size / step) * step, size) for size in sizes]
            width = sum(kept) / len(kept)
            if width in widths[kind]:
                continue
            widths[kind].append(width)
            both = (kept, neurons) if kind == "heads" else (heads, kept)
            candidates[f"{kind} {width}"] = _with_widths(model, *both)
    with torch.inference_mode():
        found = fastest_calls({name: _answer(one) for name, one in candidates.items()}, model.device, rows, length)
    columns: list[list[float]] = []
    for kind, own in widths.items():
        times = np.array([found[f"{kind} {width}"] for width in own])
        ordered = isotonic_regression(times).x
        columns += [own, ((ordered - ordered[0]) / len(layers)).tolist()]
    return LatencyTable(*columns)


def _with_widths(model: PreTrainedModel, heads: Sequence[int], neurons: Sequence[int]) -> PreTrainedModel:
    """A model whose layers have these numbers of units; what is not cut is not copied."""
    smaller = copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()}).eval()
    masks = UnitMasks(
        [torch.arange(layer.num_heads) < kept for layer, kept in zip(encoder_layers(model), heads, strict=True)],
        [torch.arange(layer.num_neurons) < kept for layer, kept in zip(encoder_layers(model), neurons, strict=True)],
    )
    return shrink_(smaller, masks)


def _answer(model: PreTrainedModel) -> Callable[[Batch], Tensor]:
    return lambda batch: classify(model, {name: one.to(model.device) for name, one in needed_inputs(batch).items()})
