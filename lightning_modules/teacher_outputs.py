"""The teacher's outputs for every row, computed once: it is frozen and has no dropout, so they do not change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from stark.errors import StarkError
from stark.forward.classifying import Batch, outputs_of
from stark.processes import all_gather_object, processes
from stark.storage import read_tensors, write_tensors

__all__ = ["TeacherOutputs", "ask_teacher"]

_HIDDEN = "hidden_states/"


class TeacherOutputs:
    """A teacher's logits, and hidden states if they were requested, by row number.

    Args:
        key: Hash that identifies teacher, rows and tokenisation; see `TeacherCache`.
        idx: Number of each row, ``(rows,)``, int64.
        logits: Shape ``(rows, num_labels)``, float32 or wider.
        lengths: Number of tokens of each row, ``(rows,)``, int64.
        hidden_states: Hidden states of all real tokens, rows concatenated, ``(sum of lengths, hidden_size)``, bfloat16,
            by number of the layer (0: the embeddings; negative: from the end).

    Examples:
        >>> outputs = TeacherOutputs("a", torch.tensor([7, 4]), torch.tensor([[0.5], [2.0]]), torch.tensor([3, 2]))
        >>> outputs.logits(torch.tensor([4, 7, 4]))
        tensor([[2.0000],
                [0.5000],
                [2.0000]])
    """

    def __init__(
        self,
        key: str,
        idx: Tensor,
        logits: Tensor,
        lengths: Tensor,
        hidden_states: Mapping[int, Tensor] | None = None,
    ) -> None:
        """Order the rows by their number."""
        self.key = key
        self._stored = {"idx": idx, "logits": logits, "lengths": lengths}
        self._hidden_states = dict(hidden_states or {})
        # Indexed by row number, so that look-ups need neither a search nor a device synchronisation. Missing rows are
        # NaN.
        self._logits = torch.full((int(idx.max()) + 1, logits.shape[1]), torch.nan, dtype=logits.dtype)
        self._logits[idx] = logits
        self._lengths, self._starts = torch.zeros(2, len(self._logits), dtype=torch.int64)
        self._lengths[idx] = lengths
        self._starts[idx] = lengths.cumsum(0) - lengths

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._stored["idx"])

    def to(self, device: torch.device) -> TeacherOutputs:
        """Move the logits to a device, so that look-ups need no synchronisation; hidden states are not moved.

        Args:
            device: Device of the training.

        Returns:
            This object.
        """
        self._logits = self._logits.to(device)
        return self

    def logits(self, idx: Tensor) -> Tensor:
        """Look up logits.

        Args:
            idx: Numbers of rows, ``(batch,)``, on the device of `to`.

        Returns:
            Shape ``(batch, num_labels)``; NaN for a row without teacher outputs.
        """
        return self._logits[idx]

    def hidden_states(self, idx: Tensor, width: int) -> dict[int, Tensor]:
        """Look up hidden states, for a user's own loss.

        Args:
            idx: Numbers of rows, ``(batch,)``.
            width: Padded length of the batch.

        Returns:
            Hidden states by layer, ``(batch, width, hidden_size)``, float32, on the device of `idx`; zeros for padding.
        """
        rows = idx.cpu()
        position = torch.arange(width)
        real = position < self._lengths[rows][:, None]
        token = torch.where(real, self._starts[rows][:, None] + position, 0)
        return {
            layer: (states[token] * real[:, :, None]).to(idx.device).float()
            for layer, states in self._hidden_states.items()
        }

    def save(self, path: Path) -> None:
        """Write the outputs and their key as safetensors.

        Args:
            path: The file; its folder is created.
        """
        hidden = {f"{_HIDDEN}{layer}": states for layer, states in self._hidden_states.items()}
        write_tensors(path, {**self._stored, **hidden}, key=self.key)

    @classmethod
    def load(cls, path: Path, key: str) -> TeacherOutputs:
        """Memory-map a file that `save` wrote; processes share this memory.

        Args:
            path: The file.
            key: Expected key of the outputs.

        Returns:
            The outputs.

        Raises:
            DamagedError: If the file cannot be read or is damaged.
            StarkError: If it holds the outputs of another teacher, or for other rows.
        """
        tensors, notes = read_tensors(path)
        if notes.get("key") != key:
            raise StarkError(
                f"{path} holds the outputs of another teacher, or for other rows or another tokenisation, than its "
                "name says"
            )
        hidden = {int(name.removeprefix(_HIDDEN)): tensors.pop(name) for name in list(tensors) if _HIDDEN in name}
        return cls(key, **tensors, hidden_states=hidden)


@torch.no_grad()
def ask_teacher(
    teacher: PreTrainedModel, batches: Iterable[Batch], key: str, hidden_states: Sequence[int] = ()
) -> TeacherOutputs:
    """Compute a teacher's outputs for all rows, in one pass over fixed batches.

    The last bits of a row's outputs depend on its batch, so a pass over the shuffled batches of training would make a
    resumed fit differ. The processes of a run share the batches; all of them must call this, and all get all rows.

    Args:
        teacher: The teacher, in eval mode.
        batches: Batches on the teacher's device, with ``idx``; the same on every process.
        key: See `TeacherOutputs`.
        hidden_states: Numbers of the layers whose hidden states are stored in bfloat16, as in transformers'
            ``hidden_states``.

    Returns:
        The outputs, on the CPU.

    Raises:
        StarkError: If there is no row.
    """
    rank, world_size = processes()
    own: dict[int, dict[str, Tensor]] = {}
    for number, batch in enumerate(batches):
        if number % world_size == rank:
            own[number] = _ask(teacher, batch, hidden_states)
    parts: dict[int, dict[str, Tensor]] = {}
    for others in all_gather_object(own):
        parts |= others
    if not parts:
        raise StarkError("there is no row to ask the teacher about")
    # In the order of the batches, independent of the process that computed them.
    columns = {name: torch.cat([parts[number][name] for number in sorted(parts)]) for name in parts[0]}
    kept = {layer: columns.pop(f"{_HIDDEN}{layer}") for layer in hidden_states}
    return TeacherOutputs(key, **columns, hidden_states=kept)


def _ask(teacher: PreTrainedModel, batch: Batch, hidden_states: Sequence[int]) -> dict[str, Tensor]:
    real = batch["attention_mask"].bool()
    outputs = outputs_of(teacher, batch, hidden_states)
    # Half the size, with three significant digits; logits stay as they are.
    kept = {f"{_HIDDEN}{layer}": states[real].bfloat16() for layer, states in outputs.hidden_states.items()}
    answer = {"idx": batch["idx"], "logits": outputs.logits, "lengths": real.sum(1), **kept}
    return {name: tensor.cpu() for name, tensor in answer.items()}
