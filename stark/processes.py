"""Training in several processes: their ranks, and the values that they exchange.

Without a process group of torch, or in a group of one process, nothing is sent.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
from torch import Tensor

__all__ = ["all_gather", "all_gather_object", "mean_over_processes", "processes"]


def processes() -> tuple[int, int]:
    """The rank of this process and the number of processes.

    Returns:
        ``(rank, world_size)``; (0, 1) when torch.distributed is not in use.

    Examples:
        >>> processes()
        (0, 1)
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def all_gather(tensor: Tensor) -> list[Tensor]:
    """Collect a tensor of one shape from every process; all of them have to call this.

    Args:
        tensor: Tensor on any device.

    Returns:
        The tensors by rank, on the same device.

    Examples:
        >>> all_gather(torch.tensor([1.0]))
        [tensor([1.])]
    """
    _, world_size = processes()
    if world_size == 1:
        return [tensor]
    own = tensor.detach().to(_device()).contiguous()
    gathered = [torch.empty_like(own) for _ in range(world_size)]
    torch.distributed.all_gather(gathered, own)
    return [other.to(tensor.device) for other in gathered]


def all_gather_object(value: Any) -> list[Any]:  # noqa: ANN401 - anything that pickles
    """Collect a value from every process; all of them have to call this.

    Args:
        value: Anything that pickles.

    Returns:
        The values by rank.

    Examples:
        >>> all_gather_object({"a": 1})
        [{'a': 1}]
    """
    _, world_size = processes()
    if world_size == 1:
        return [value]
    gathered: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(gathered, value)
    return gathered


def mean_over_processes(tensor: Tensor) -> Tensor:
    """Mean of a tensor of one shape over the processes; all of them have to call this.

    Args:
        tensor: Tensor on the device of this process's collectives or, with gloo, on the CPU.

    Returns:
        A new tensor of the same shape, the same on every process.

    Examples:
        >>> mean_over_processes(torch.tensor([2.0]))
        tensor([2.])
    """
    _, world_size = processes()
    total = tensor.detach().clone()
    if world_size > 1:
        torch.distributed.all_reduce(total)
        total /= world_size
    return total


def _device() -> torch.device:
    """Device on which this group's collectives need their tensors."""
    return torch.device("cpu" if "gloo" in torch.distributed.get_backend() else "cuda")
