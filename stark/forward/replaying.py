"""Work that is recorded once for each shape of its inputs and then replayed: on a GPU as one CUDA graph per shape."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Hashable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from stark.forward.classifying import MODEL_INPUTS, Batch

__all__ = ["CUDAGraphs", "NotRecordedError", "Recorded", "Recorder", "Replayed", "bucket_of", "pad_batch"]

# So near to each other that little is computed in vain, and few, because recording a graph takes a part of a second.
_LENGTHS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
# torch's warning about an operation that waits for the GPU.
_WAITS = "called a synchronizing CUDA operation"


def bucket_of(length: int, most: int) -> int:
    """The length that batches of a length are padded to.

    Args:
        length: Number of tokens of the longest row.
        most: Number of tokens that the model has positions for.

    Returns:
        The next of a few lengths, at most ``most``; a length that is longer than all of them is kept.

    Examples:
        >>> bucket_of(24, 512), bucket_of(40, 512), bucket_of(100, 120), bucket_of(1000, 8192)
        (32, 48, 120, 1000)
    """
    return min(next((one for one in _LENGTHS if one >= length), length), max(most, length))


def pad_batch(batch: Batch, length: int, pad_id: int) -> Batch:
    """Pad a batch's rows.

    Args:
        batch: The batch; the model's inputs, ``(rows, tokens)``, and tensors of shape ``(rows, tokens, size)``, such as
            hidden states, are padded. All others are kept, such as labels and logits.
        length: Number of tokens of the padded rows.
        pad_id: Id of the padding token; all other tensors are padded with 0.

    Returns:
        A new batch.

    Examples:
        >>> pad_batch({"input_ids": torch.tensor([[5]]), "labels": torch.tensor([1])}, 3, 9)
        {'input_ids': tensor([[5, 9, 9]]), 'labels': tensor([1])}
    """
    width = batch["input_ids"].shape[1]
    padded = {}
    for name, tensor in batch.items():
        if name in MODEL_INPUTS or tensor.dim() > 2:
            missing = (*(0, 0) * (tensor.dim() - 2), 0, length - width)
            tensor = F.pad(tensor, missing, value=pad_id if name == "input_ids" else 0)
        padded[name] = tensor
    return padded


class Recorded(NamedTuple):
    """Recorded work.

    Args:
        replay: Does the work again, with the values that its inputs have now.
        result: The result of the latest replay, always in the same memory.
    """

    replay: Callable[[], object]
    result: Tensor


class NotRecordedError(Exception):
    """Work that cannot be recorded; the message says why. `Replayed` then does the work as usual."""


class Recorder(Protocol):
    """Records work."""

    def rehearse(self, work: Callable[[], Tensor]) -> tuple[Tensor, str]:
        """Do the work as usual.

        Args:
            work: The work.

        Returns:
            Its result, and why it cannot be recorded; empty if it can.
        """

    def record(self, work: Callable[[], Tensor]) -> Recorded:
        """Record the work without doing it.

        Args:
            work: The work. It uses the same tensors at each replay.

        Returns:
            The recorded work.

        Raises:
            NotRecordedError: If it cannot be recorded, and can still be done as usual.
        """


class CUDAGraphs:
    """Records work as CUDA graphs with common memory. They must be replayed one after the other.

    Args:
        device: The GPU of the work; None for the current one.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        """Start without a graph."""
        self._pool = torch.cuda.graph_pool_handle()
        # torch's own stream for recording lies on the GPU that was recorded first. On another GPU than the work's, the
        # graph would be empty.
        self._stream = torch.cuda.Stream(device)

    def rehearse(self, work: Callable[[], Tensor]) -> tuple[Tensor, str]:
        """Do the work, and find out whether it waits for the GPU, which no graph can.

        Args:
            work: The work.

        Returns:
            Its result, and why it cannot be recorded; empty if it can.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                result = work()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        waits = [one for one in caught if _WAITS in str(one.message)]
        for other in caught:
            if other not in waits and "debug mode" not in str(other.message):
                warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
        if not waits:
            return result, ""
        return result, f"it waits for the GPU ({waits[0].filename}, line {waits[0].lineno})"

    def record(self, work: Callable[[], Tensor]) -> Recorded:
        """Record work.

        Args:
            work: The work.

        Returns:
            Its graph.
        """
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as one that loads data into pinned memory, may use the GPU during the recording.
        mode = "thread_local"
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode=mode):
            result = work()
        return Recorded(graph.replay, result)


class Replayed:
    """A function of batches that is recorded when a shape occurs for the third time.

    The first two calls of a shape run as usual; the second one is the rehearsal. They are what a GPU needs before a
    recording: kernels are chosen, and buffers such as an optimizer's moments exist. So no work is done in vain, and a
    rare shape is never recorded. Work that cannot be recorded runs as usual.

    Args:
        work: The function of a batch and of flags. It may change tensors, such as weights, in place.
        recorder: Records work, such as `CUDAGraphs`.
        most: Maximum number of recordings that are kept. Beyond it, the one that was not used for the longest time is
            dropped, and its shape is counted anew. None for no limit.

    Attributes:
        obstacle: Why the work is not recorded; empty if nothing speaks against it.

    Examples:
        >>> class Remember:
        ...     def rehearse(self, work):
        ...         return work(), ""
        ...
        ...     def record(self, work):
        ...         result = torch.empty(())
        ...         return Recorded(lambda: result.copy_(work()), result)
        >>> double = Replayed(lambda batch: 2 * batch["x"], Remember())
        >>> [float(double({"x": torch.tensor(float(number))})) for number in range(4)]
        [0.0, 2.0, 4.0, 6.0]
    """

    def __init__(self, work: Callable[..., Tensor], recorder: Recorder, most: int | None = None) -> None:
        """Start without a recording."""
        self._work, self._recorder, self._most = work, recorder, most
        self.obstacle = ""
        self._calls: Counter[Hashable] = Counter()
        # The one that was used last is the last one.
        self._recorded: dict[Hashable, tuple[Batch, Recorded]] = {}

    def __call__(self, batch: Batch, *flags: bool) -> Tensor:
        """Do the work.

        Args:
            batch: The inputs.
            flags: Further arguments of the function; recordings with different flags are separate.

        Returns:
            The result, in memory that no later call changes.
        """
        key = (flags, tuple((name, tensor.shape, tensor.dtype) for name, tensor in batch.items()))
        if key not in self._recorded:
            self._calls[key] += 1
            if self.obstacle or self._calls[key] == 1:
                return self._work(batch, *flags)
            if self._calls[key] == 2:
                result, self.obstacle = self._recorder.rehearse(lambda: self._work(batch, *flags))
                return result
            own = {name: tensor.clone() for name, tensor in batch.items()}
            try:
                recorded = self._recorder.record(lambda: self._work(own, *flags))
            except NotRecordedError as error:
                self.obstacle = str(error)
                self._recorded.clear()
                return self._work(batch, *flags)
            if len(self._recorded) == self._most:
                oldest = next(iter(self._recorded))
                del self._recorded[oldest], self._calls[oldest]
            self._recorded[key] = own, recorded
        own, (replay, result) = self._recorded[key] = self._recorded.pop(key)
        for name, tensor in own.items():
            tensor.copy_(batch[name], non_blocking=True)
        replay()
        return result.clone()

    @property
    def recordings(self) -> int:
        """Number of recordings."""
        return len(self._recorded)
