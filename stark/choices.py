"""Values that arguments of callbacks can have, without importing torch, for parsing the command line."""

from __future__ import annotations

from typing import Literal

__all__ = ["ClassWeights", "LayerChoice", "ScoreReduction", "ScoringSplit"]

ClassWeights = Literal["none", "balanced"] | list[float]
"""Weights of the classes in the task loss: none, inversely proportional to their rows, or one number per class."""

LayerChoice = Literal["first", "last", "alternate"]
"""Which layers are kept."""

ScoreReduction = Literal["example", "batch"]
"""How gradients of a batch become importance, see `batch_importance`."""

ScoringSplit = Literal["selection", "validation", "train"]
"""The part of the data that units are scored on."""
