"""A model's answers on a GPU, replayed as CUDA graphs: a few rows do not wait for Python to launch their kernels."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import torch
from torch import Tensor
from transformers import PreTrainedModel

from stark.encoders.families.table import family_of
from stark.forward.classifying import MODEL_INPUTS, Batch, classify, needed_inputs
from stark.forward.replaying import NotRecordedError, Recorded, Recorder, Replayed, bucket_of, pad_batch
from stark.telling import warn_once

__all__ = ["ReplayedAnswer", "rows_of"]

# Graphs that are kept.
_MOST_GRAPHS = 64
# Rows times tokens of the largest batch that is padded and replayed. Larger ones keep a GPU busy by themselves.
_MOST_TOKENS = 8192
# All models of a process take turns. A graph has one memory for its inputs, and whether a forward pass waits for the
# GPU can be found out only while no other thread does.
_TURN = Lock()


def rows_of(rows: int) -> int:
    """The number of rows that a batch is padded to.

    Args:
        rows: Number of rows.

    Returns:
        The next power of two, beyond eight the next multiple of eight.

    Examples:
        >>> rows_of(1), rows_of(3), rows_of(8), rows_of(9), rows_of(33)
        (1, 4, 8, 16, 40)
    """
    return 1 << (rows - 1).bit_length() if rows <= 8 else -(-rows // 8) * 8


class ReplayedAnswer:
    """A function from batches to logits that records a model's forward pass for each shape; see `Replayed`.

    Batches are padded to few numbers of rows (`rows_of`) and tokens (`bucket_of`), which changes logits by rounding
    only. At most 64 graphs are kept, in common memory; the one that was not used for the longest time makes room for a
    new one. The first replay of each graph is compared with the forward pass. If they differ by more than rounding, or
    if a graph cannot be recorded, the forward pass runs as usual from then on, and a line says why. It also runs as
    usual for more than 8192 tokens, and in autocast.

    It has been tested on a CPU, where the forward passes are recorded as functions; it has not run on a GPU.

    Threads may share the function; they are served one after the other.

    Args:
        model: The model, in eval mode. It must not be changed or moved afterwards.
        recorder: Records a forward pass, such as `CUDAGraphs`.
    """

    def __init__(self, model: PreTrainedModel, recorder: Recorder) -> None:
        """Start without a recording."""
        self._model = model
        self._replayed = Replayed(
            lambda batch: classify(model, batch), _Compared(recorder, model.dtype), most=_MOST_GRAPHS
        )

    def __call__(self, batch: Batch) -> Tensor:
        """Classify a batch.

        Args:
            batch: The batch, on the CPU.

        Returns:
            Logits ``(rows, num_labels)``, on the CPU.
        """
        rows, length = batch["input_ids"].shape
        config, device = self._model.config, self._model.device
        most = getattr(config, "max_position_embeddings", 0)
        width = bucket_of(length, most - family_of(self._model).unused_positions(config))
        # Not inference_mode: the state of torch's random numbers, which is recorded as well, could not be changed by
        # a later recording of training steps.
        with _TURN, torch.no_grad():
            usual = self._replayed.obstacle or rows_of(rows) * width > _MOST_TOKENS
            if usual or torch.is_autocast_enabled(device.type):
                return classify(self._model, _moved(needed_inputs(batch), device)).cpu()
            padded = needed_inputs(_padded(batch, rows_of(rows), width, config.pad_token_id or 0))
            logits = self._replayed(_moved(padded, device))[:rows].cpu()
        if self._replayed.obstacle:
            warn_once(f"a model's answers are not replayed as CUDA graphs: {self._replayed.obstacle}")
        return logits

    @property
    def recordings(self) -> int:
        """Number of recordings."""
        return self._replayed.recordings


def _moved(batch: Batch, device: torch.device) -> Batch:
    return {name: tensor.to(device) for name, tensor in batch.items()}


def _padded(batch: Batch, rows: int, length: int, pad_id: int) -> Batch:
    inputs = {name: batch[name] for name in MODEL_INPUTS if name in batch}
    inputs.setdefault("attention_mask", torch.ones_like(inputs["input_ids"]))
    padded = pad_batch(inputs, length, pad_id)
    # The first row is repeated, because attention of a row without any token is not defined.
    missing = rows - len(inputs["input_ids"])
    return {name: torch.cat([tensor, tensor[:1].expand(missing, -1)]) for name, tensor in padded.items()}


class _Compared:
    """Records work that changes nothing, and compares the first replay with the work itself.

    Args:
        recorder: Records the work.
        dtype: Type of the model's weights. Results may differ in the last half of its digits.
    """

    def __init__(self, recorder: Recorder, dtype: torch.dtype) -> None:
        self._recorder = recorder
        self._tolerance = torch.finfo(dtype).eps ** 0.5

    def rehearse(self, work: Callable[[], Tensor]) -> tuple[Tensor, str]:
        return self._recorder.rehearse(work)

    def record(self, work: Callable[[], Tensor]) -> Recorded:
        try:
            recorded = self._recorder.record(work)
        except RuntimeError as error:  # torch's error of a recording that CUDA ended
            raise NotRecordedError(f"the recording failed ({str(error).partition(chr(10))[0]})") from error
        # So that a replay that computes nothing is noticed.
        recorded.result.fill_(float("nan"))
        recorded.replay()
        found, expected = recorded.result.clone(), work()
        if not torch.allclose(found, expected, rtol=self._tolerance, atol=self._tolerance, equal_nan=True):
            raise NotRecordedError(
                f"the first replay differs from the forward pass by {float((found - expected).abs().max()):.2g}"
            )
        return recorded
