"""What a shrunk model may cost, and the sparsity with which it costs no more."""

from __future__ import annotations

import copy
import functools
import math
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pipeline.deploy.classifier import answer_of
from pipeline.deploy.export.export import megabytes_of, open_written, write_form
from pipeline.deploy.export.formats import Format
from pipeline.parsing.progress import Advance
from stark.errors import StarkError
from stark.forward.latency import measure_latency
from stark.model_folders.model_folder import save_classifier
from stark.pruning import prune_
from stark.scores.random import Random
from stark.scores.unit_scores import UnitScores

__all__ = ["Cost", "Form", "Promise", "cost_of", "measured", "read_promise", "sparsity_within"]

_UNITS = {"latency": {"ms": 1.0, "s": 1000.0}, "size": {"kB": 1e-3, "MB": 1.0, "GB": 1000.0}}
_TEXT = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-z]+)")
# Sparsities are compared in steps of this size.
_STEP = 0.02
_MOST = 0.96
# The part of what is allowed that is used: latencies vary, and units that are chosen by scores are spread otherwise.
_SAFE = {"latency": 0.95, "size": 0.97}

Kind = Literal["latency", "size"]

Cost = Callable[[float], float]
"""What a model costs with a sparsity."""


@dataclass(frozen=True)
class Form:
    """The form in which a model is used.

    Args:
        format: Format of the export; None for the model folder itself.
        int8: Whether weights have 8 bits.
    """

    format: Format | None
    int8: bool

    def __str__(self) -> str:
        """As it is told to the user."""
        return "the model folder" if self.format is None else f"{self.format}{', int8' if self.int8 else ''}"


@dataclass(frozen=True)
class Promise:
    """What a shrunk model may cost at most.

    Args:
        kind: ``latency`` of one row of `length` tokens, in milliseconds, or ``size`` of its folder, in MB.
        most: The number.
        length: Number of tokens of the row.
    """

    kind: Kind
    most: float
    length: int

    def told(self, value: float) -> str:
        """A value with its unit.

        Examples:
            >>> Promise("size", 10, 128).told(9.5), Promise("latency", 5, 128).told(4.25)
            ('9.50 MB', '4.25 ms')
        """
        return f"{value:.2f} {'ms' if self.kind == 'latency' else 'MB'}"


def read_promise(kind: Kind, text: str, length: int) -> Promise:
    """Read a number with its unit.

    Args:
        kind: What it limits.
        text: Such as ``5ms`` or ``10MB``.
        length: Number of tokens of a row.

    Returns:
        The promise.

    Raises:
        StarkError: If it is no such number.

    Examples:
        >>> read_promise("latency", "5ms", 128).most, read_promise("size", "0.5 GB", 128).most
        (5.0, 500.0)
    """
    found = _TEXT.fullmatch(text.strip())
    unit = None if found is None else _UNITS[kind].get(found[2])
    if found is None or unit is None or float(found[1]) == 0:
        raise StarkError(
            f"{kind} is {text!r}: give a number with its unit, such as {'5ms' if kind == 'latency' else '10MB'}"
        )
    return Promise(kind, float(found[1]) * unit, length)


def measured(folder: Path, form: Form, promise: Promise, model: PreTrainedModel) -> float:
    """What a model costs in the form in which it is used.

    Args:
        folder: Folder of the model, or of its export.
        form: The form.
        promise: What is measured.
        model: The model itself.

    Returns:
        Milliseconds or MB.
    """
    if promise.kind == "size":
        return megabytes_of(folder)
    answer = answer_of(model) if form.format is None else open_written(folder)
    return measure_latency({"model": answer}, 1, promise.length)["model"].median


def cost_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, form: Form, promise: Promise, advance: Advance
) -> Cost:
    """What a model costs with a sparsity, by cutting, writing and measuring it.

    Neither latency nor size depends on the values of the weights, so that units are chosen at random, and nothing is
    trained.

    Args:
        model: The model; it is not changed.
        tokenizer: Its tokenizer.
        form: The form that is measured.
        promise: What is measured.
        advance: Is told each measurement.

    Returns:
        A function of the sparsity, which measures each one once.
    """

    @functools.cache
    def cost(sparsity: float) -> float:
        candidate = copy.deepcopy(model)
        if sparsity:
            prune_(candidate, Random(), UnitScores({}, {}, ""), sparsity)
        with tempfile.TemporaryDirectory() as temporary:
            written = Path(temporary, "model")
            if form.format is None:
                save_classifier(candidate, written, tokenizer)
            else:
                write_form(candidate, tokenizer, form.format, written, int8=form.int8)
            found = measured(written, form, promise, candidate)
        advance(f"{len(tokenizer):,} tokens, sparsity {sparsity:.2f}: {promise.told(found)}", None)
        return found

    return cost


def sparsity_within(cost: Cost, promise: Promise) -> float:
    """The smallest sparsity with which a model keeps a promise, to a step of 0.02.

    Both costs are nearly straight lines, so that the next sparsity is read off the line between the two nearest ones.

    Args:
        cost: What the model costs with a sparsity, from `cost_of`.
        promise: The promise.

    Returns:
        A sparsity in [0, 0.96].

    Raises:
        StarkError: If a sparsity of 0.96 is not enough.

    Examples:
        >>> sparsity_within(lambda sparsity: 10 - 8 * sparsity, Promise("size", 5, 128))
        0.66
    """
    allowed = _SAFE[promise.kind] * promise.most
    low, high = 0, round(_MOST / _STEP)
    if cost(0.0) <= allowed:
        return 0.0
    if (least := cost(_MOST)) > allowed:
        raise StarkError(
            f"{promise.kind} cannot be {promise.told(promise.most)}: with a sparsity of {_MOST:g} it is still "
            f"{promise.told(least)}; allow more, or choose another --format or --int8"
        )
    while high - low > 1:
        above, below = cost(round(low * _STEP, 2)), cost(round(high * _STEP, 2))
        share = (above - allowed) / max(above - below, 1e-9)
        middle = min(max(low + math.ceil(share * (high - low)), low + 1), high - 1)
        if cost(round(middle * _STEP, 2)) <= allowed:
            high = middle
        else:
            low = middle
    return round(high * _STEP, 2)
