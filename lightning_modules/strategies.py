"""Strategies of the trainer: a check that they keep the weights whole, and their random streams."""

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
    """Bring DDP's buckets into the order that they have from its second step on; all processes must call this.

    DDP sorts its buckets again after its first step. A gradient's position determines the order in which three or more
    processes add it. The first step of a resumed fit is not the first step of the whole fit, so without this function
    it would be rounded differently.

    Args:
        model: The strategy's model; nothing happens if it is not wrapped in DDP. Its gradients are lost.
        batch: Any batch for `model`, the same on every process.
        parameters: All trained parameters, whether the model uses them for its logits or not.
    """
    if isinstance(model, DistributedDataParallel):
        # DDP waits for a gradient of each parameter.
        total = model(batch).sum() + sum(0 * parameter.sum() for parameter in parameters if parameter.requires_grad)
        total.backward()
        model.zero_grad()


def reset_random_streams(rank: int) -> None:
    """Restart Python's and torch's random numbers from the seed, with a separate stream for each process.

    Process 0 has the stream of a single process. With one stream for all processes, they would use the same dropout
    masks for different rows of a step. Nothing happens if ``seed_everything`` has not set a seed.

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
    """Refuse strategies that split the weights: masks, resuming and the teacher need whole weights in each process.

    Args:
        strategy: A name, an import path, a class or an instance of a Lightning strategy.

    Raises:
        StarkError: If it is neither a single-device strategy nor DDP.

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
    # Two subclasses of DDPStrategy are not DDP.
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
    # Not imported: the module of a given class has been imported by now, and importing anything else would only run its
    # code. Anything that is not a strategy is refused.
    found: type = getattr(sys.modules.get(module), attribute, object)
    return found
