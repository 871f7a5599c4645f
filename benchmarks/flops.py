"""Floating point operations of a model's matrix products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from transformers import PreTrainedModel

from pipeline.results.measure import count_flops

__all__ = ["flops_of_batches"]


def flops_of_batches(model: PreTrainedModel, shapes: Iterable[tuple[int, int]], *, training: bool = False) -> float:
    """Count the matrix products of many batches.

    A batch takes ``rows * (a + b * length + c * length**2)`` operations, for the classifier, the linear layers and the
    attention. The function counts three lengths and solves for a, b and c.

    Args:
        model: A classifier.
        shapes: Rows and padded length of each batch.
        training: Whether to add the backward pass to all weights.

    Returns:
        Floating point operations of all batches together.
    """
    known = torch.tensor([8.0, 16.0, 32.0], dtype=torch.float64)
    counts = [float(count_flops(model, 1, int(length), training=training)) for length in known]
    powers = torch.stack([known**0, known, known**2], dim=1)
    solved = torch.linalg.solve(powers, torch.tensor(counts, dtype=torch.float64))
    total = 0.0
    for (rows, length), number in Counter(shapes).items():
        total += number * rows * sum(float(factor) * length**power for power, factor in enumerate(solved))
    return total
