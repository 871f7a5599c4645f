"""Strategies of the trainer: which of them train whole weights, and their random streams."""

from __future__ import annotations

import hashlib
import os
import random
import sys
from collections.abc import Iterable

import torch
import torch.distributed
from lightning_fabric.utilities.seed import reset_seed
from pytorch_lightning.strategies import (
    DDPStrategy,
    DeepSpeedStrategy,
    SingleDeviceStrategy,
    Strategy,
    StrategyRegistry,
)
from pytorch_lightning.strategies.xla import XLAStrategy
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stark.errors import StarkError

__all__ = ["check_strategy", "reset_random_streams", "settle_buckets_"]


def settle_buckets_(model: nn.Module | None, batch: dict[str, Tensor], parameters: Iterable[nn.Parameter]) -> None:
    """Bring DDP's buckets into the order that they have from its second step on; all processes have to call this.

    DDP sorts its buckets again after the first step. Where a number lies decides in which order three or more processes
    add it, so a resumed fit, whose first step is not the first of the fit, would round that step otherwise.

    Args:
        model: What the strategy trains; if it is not under DDP nothing happens. Its gradients are lost.
        batch: Any that `model` takes, the same on every process.
        parameters: All that are trained, whether the model uses them for its logits or not.
    """
    if isinstance(model, DistributedDataParallel):
        # DDP waits for a gradient of each of them.
        total = model(batch).sum() + sum(0 * parameter.sum() for parameter in parameters if parameter.requires_grad)
        total.backward()
        model.zero_grad()


def reset_random_streams(rank: int) -> None:
    """Start Python's and torch's random numbers anew from the seed, each process in a stream of its own.

    Process 0 has the stream that a single process has. With one stream for all, the rows that meet in a step would
    share their dropout masks. Nothing happens when no seed was set by ``seed_everything``.

    Args:
        rank: Number of this process.

    Examples:
        >>> from pytorch_lightning import seed_everything
        >>> _ = seed_everything(1, verbose=False)
        >>> streams = []
        >>> for rank in (0, 1, 0):
        ...     reset_random_streams(rank)
        ...     streams.append(torch.rand(()).item())
        >>> streams[0] == streams[2] != streams[1]
        True
    """
    reset_seed()
    seed = os.environ.get("PL_GLOBAL_SEED")
    if rank > 0 and seed is not None:
        digest = hashlib.sha256(f"{seed} {rank}".encode()).digest()
        derived = int.from_bytes(digest[:8], "big") >> 1
        random.seed(derived)
        torch.manual_seed(derived)  # the CUDA streams too


def check_strategy(strategy: str | type | Strategy) -> None:
    """Refuse strategies that split the weights: masks, exact resuming and the teacher need them whole in each process.

    Args:
        strategy: A name, an import path, a class or an instance of Lightning's.

    Raises:
        StarkError: If it neither trains on a single device nor is DDP.

    Examples:
        >>> check_strategy("ddp")
        >>> check_strategy("fsdp")
        Traceback (most recent call last):
        stark.errors.StarkError: trainer.strategy is 'fsdp': pruning and distillation need whole weights in each ...
    """
    if strategy == "auto":
        return
    kind = _strategy_class(strategy) if isinstance(strategy, str) else strategy
    kind = kind if isinstance(kind, type) else type(kind)
    # Two subclasses of DDPStrategy that are something else.
    if issubclass(kind, (SingleDeviceStrategy, DDPStrategy)) and not issubclass(kind, (DeepSpeedStrategy, XLAStrategy)):
        return
    name = strategy if isinstance(strategy, str) else kind.__name__
    raise StarkError(
        f"trainer.strategy is {name!r}: pruning and distillation need whole weights in each process, so use auto or ddp"
    )


def _strategy_class(name: str) -> type:
    if name in StrategyRegistry:
        registered: type = StrategyRegistry[name]["strategy"]
        return registered
    module, _, attribute = name.rpartition(".")
    # Not imported: a class has been by now, any other word would only run code. What is no strategy is refused.
    found: type = getattr(sys.modules.get(module), attribute, object)
    return found
