"""How many floating point operations the matrix products of a model take."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from lightning_modules.classifying import classify

__all__ = ["count_flops", "flops_of_batches"]


def count_flops(model: PreTrainedModel, rows: int, length: int, *, training: bool = False) -> int:
    """Count the matrix products of a batch.

    Args:
        model: A classifier.
        rows: Of the batch.
        length: Tokens of each row, padding included.
        training: Forward and backward pass as a fit does them, without what it spares; else a forward pass in which
            every layer computes all tokens.

    Returns:
        Floating point operations.
    """
    counted = copy.deepcopy(model).eval()
    device = next(model.parameters()).device
    inputs: Tensor = torch.ones(rows, length, dtype=torch.long, device=device)
    batch = {"input_ids": inputs, "attention_mask": inputs}
    # Not every fused attention kernel is known to the counter.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.set_grad_enabled(training):
        if training:
            classify(counted, batch).sum().backward()
        else:
            counted(**batch, output_hidden_states=True)
    return int(counter.get_total_flops())


def flops_of_batches(model: PreTrainedModel, shapes: Iterable[tuple[int, int]], *, training: bool = False) -> float:
    """Count the matrix products of many batches.

    A batch takes ``rows * (a + b * length + c * length**2)``: the classifier, the linears, the attention. Three counts
    tell a, b and c.

    Args:
        model: A classifier.
        shapes: Rows and padded length of each batch.
        training: Also the backward pass to all weights.

    Returns:
        Floating point operations of all of them.
    """
    known = torch.tensor([8.0, 16.0, 32.0], dtype=torch.float64)
    counts = [float(count_flops(model, 1, int(length), training=training)) for length in known]
    powers = torch.stack([known**0, known, known**2], dim=1)
    solved = torch.linalg.solve(powers, torch.tensor(counts, dtype=torch.float64))
    total = 0.0
    for (rows, length), number in Counter(shapes).items():
        total += number * rows * sum(float(factor) * length**power for power, factor in enumerate(solved))
    return total
