"""Weights of classes in the task loss, for classes of very different sizes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stark.choices import ClassWeights
from stark.errors import StarkError

__all__ = ["class_weights"]


def class_weights(choice: ClassWeights, labels: Tensor, num_labels: int) -> Tensor | None:
    r"""The weight of each class.

    ``balanced`` gives every class the same total weight: $w_c = n / (k\, n_c)$, where $n_c$ of the $n$ rows have class
    $c$ and $k$ classes have rows, so that the mean weight of a row is 1. A class without rows gets the weight 1.

    Source: scikit-learn's ``compute_class_weight``; King and Zeng, 2001, "Logistic Regression in Rare Events Data".

    Args:
        choice: ``none``, ``balanced``, or one number above 0 per class, in the order of the labels.
        labels: Class ids of the labelled rows, ``(rows,)``; used by ``balanced`` alone.
        num_labels: Number of classes.

    Returns:
        Shape ``(num_labels,)``, float32; None for ``none``.

    Raises:
        StarkError: If the choice is none of these.

    Examples:
        >>> class_weights("balanced", torch.tensor([0, 0, 0, 1]), 2).tolist()
        [0.6666666865348816, 2.0]
    """
    if choice == "none":
        return None
    if choice == "balanced":
        counts = torch.bincount(labels, minlength=num_labels).double()
        weights = counts.sum() / (counts.count_nonzero().clamp(min=1) * counts.clamp(min=1))
        return weights.where(counts > 0, 1.0).float()
    if isinstance(choice, str):
        raise StarkError(f"class_weights is {choice!r}: choose none, balanced, or a list with one number per class")
    if len(choice) != num_labels or not all(0 < weight < math.inf for weight in choice):
        raise StarkError(
            f"class_weights are {list(choice)}: give one number above 0 for each of the {num_labels} classes, in the "
            "order of the labels"
        )
    return torch.tensor(choice, dtype=torch.float32)
