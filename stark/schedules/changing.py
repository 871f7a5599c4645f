"""The schedules by which a weight changes over a fit."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

__all__ = ["Schedule", "changing_weight"]

Schedule = Literal["linear", "cosine"]
"""How a weight goes from its first to its last value."""


def changing_weight(first: float, last: float, progress: Tensor, schedule: Schedule) -> Tensor:
    r"""A weight that changes over a fit.

    With x the progress: $a + (b - a)\, x$ for ``linear``, and $a + (b - a)\, (1 - \cos \pi x) / 2$ for ``cosine``,
    which changes slowly at both ends.

    Args:
        first: a, the weight in the first step.
        last: b, the weight in the last step.
        progress: Fraction of the fit's steps in [0, 1], a scalar; it is not read by Python, so that no device is waited
            for and a recorded step follows it.
        schedule: ``linear`` or ``cosine``.

    Returns:
        The weight, a scalar on the device of ``progress``.

    Examples:
        >>> import torch
        >>> [changing_weight(10.0, 0.0, torch.tensor(x), "linear").item() for x in (0.0, 0.5, 1.0)]
        [10.0, 5.0, 0.0]
    """
    if schedule == "cosine":
        progress = (1 - (math.pi * progress).cos()) / 2
    return first + (last - first) * progress
