"""Kinds of label."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Reduction", "predictions", "reduce_loss", "task_loss"]


Reduction = Literal["mean", "none"]


def reduce_loss(loss: Tensor, reduction: Reduction) -> Tensor:
    """Losses of examples as a caller wants them.

    Args:
        loss: Shape ``(batch,)``.
        reduction: ``mean`` for their mean, ``none`` for the losses themselves.

    Returns:
        A scalar, or shape ``(batch,)``.
    """
    return loss.mean() if reduction == "mean" else loss


def task_loss(logits: Tensor, labels: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Loss against the labels: cross-entropy, or squared error when there is one label name.

    Source: GeneZC/StarK `models/ft.py` (reference: cross entropy, or MSE of `logit.squeeze(-1)`).

    Args:
        logits: Shape ``(batch, num_labels)``.
        labels: Shape ``(batch,)``; class indices, or scores for regression. The loss of a row without a label (-100;
            NaN for regression) is 0.
        reduction: ``mean`` over the batch, rows without a label included, or ``none`` for shape ``(batch,)``.

    Returns:
        The loss.

    Examples:
        >>> import torch
        >>> task_loss(torch.tensor([[2.0], [1.0]]), torch.tensor([0.0, 1.0]))
        tensor(2.)
        >>> task_loss(torch.zeros(2, 2), torch.tensor([1, -100]))  # ln 2 / 2
        tensor(0.3466)
    """
    if logits.shape[-1] == 1:
        predicted, labels = logits.squeeze(-1), labels.to(logits.dtype)
        # Replaced before the difference: the gradient of what is NaN would be NaN, whatever it is multiplied by.
        known = torch.where(labels.isnan(), predicted.detach(), labels)
        return F.mse_loss(predicted, known, reduction=reduction)
    if reduction == "none":
        return F.cross_entropy(logits, labels, reduction="none")
    return F.cross_entropy(logits, labels, reduction="sum") / len(labels)


def predictions(logits: Tensor) -> Tensor:
    """Turn logits into class indices, or into scores for regression.

    Args:
        logits: ``(batch, num_labels)``; one label means regression.

    Returns:
        ``(batch,)``.

    Examples:
        >>> predictions(torch.tensor([[0.0, 1.0], [3.0, 2.0]])).tolist(), predictions(torch.tensor([[2.5]])).tolist()
        ([1, 0], [2.5])
    """
    return logits.squeeze(-1) if logits.shape[-1] == 1 else logits.argmax(-1)
