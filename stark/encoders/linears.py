"""Cut rows and columns out of linear layers: tensors in, new tensors out."""

import torch
from torch import Tensor

__all__ = ["head_rows", "select_inputs", "select_outputs"]


def head_rows(kept_heads: Tensor, head_size: int) -> Tensor:
    """Rows of a query, key or value projection that belong to the kept heads.

    Args:
        kept_heads: Indices of the heads, ``(num_kept,)``, integers.
        head_size: Rows per head.

    Returns:
        Row indices in the order of ``kept_heads``, ``(num_kept * head_size,)``.

    Source: GeneZC/StarK modeling_sparsebert.py, where heads are reordered.

    Examples:
        >>> head_rows(torch.tensor([0, 2]), head_size=3)
        tensor([0, 1, 2, 6, 7, 8])
    """
    within = torch.arange(head_size, device=kept_heads.device)
    return (kept_heads[:, None] * head_size + within).flatten()


def select_outputs(weight: Tensor, bias: Tensor | None, kept: Tensor) -> tuple[Tensor, Tensor | None]:
    """Keep some outputs of a linear layer.

    Args:
        weight: ``(out_features, in_features)``.
        bias: ``(out_features,)``, or None for a layer without bias.
        kept: Indices of the outputs to keep, ``(num_kept,)``.

    Returns:
        New weight ``(num_kept, in_features)`` and new bias ``(num_kept,)`` (None without bias).

    Examples:
        >>> weight, bias = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([5.0, 6.0])
        >>> select_outputs(weight, bias, kept=torch.tensor([1]))
        (tensor([[3., 4.]]), tensor([6.]))
    """
    return weight.index_select(0, kept), None if bias is None else bias.index_select(0, kept)


def select_inputs(weight: Tensor, kept: Tensor) -> Tensor:
    """Keep some inputs of a linear layer; its bias does not depend on them.

    If no input is left, the layer returns its bias.

    Args:
        weight: ``(out_features, in_features)``.
        kept: Indices of the inputs to keep, ``(num_kept,)``.

    Returns:
        New weight ``(out_features, num_kept)``.

    Examples:
        >>> select_inputs(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), kept=torch.tensor([1]))
        tensor([[2.],
                [4.]])
    """
    return weight.index_select(1, kept)
