"""Rows of a batch, padded into tensors."""

from torch import Tensor

from datamodules.tokens.columns import TokenColumns

__all__ = ["NoRows", "PadCollator"]


class PadCollator:
    """Makes a batch of tensors from tokenised rows.

    A class, not a closure, so that workers can be given it.

    Examples:
        >>> import torch
        >>> columns = {"input_ids": [2, 7, 3, 2, 3], "lengths": [3, 2], "idx": [0, 1]}
        >>> rows = TokenColumns.from_tensors({name: torch.tensor(column) for name, column in columns.items()})
        >>> batch = PadCollator(0)(rows)
        >>> batch["input_ids"].tolist(), batch["attention_mask"].tolist()
        ([[2, 7, 3], [2, 3, 0]], [[1, 1, 1], [1, 1, 0]])
    """

    def __init__(
        self,
        pad_token_id: int,
        pad_token_type_id: int = 0,
        pad_to_multiple_of: int = 1,
        max_length: int | None = None,
    ) -> None:
        """Keep what rows are filled with.

        Args:
            pad_token_id: Fills ``input_ids``.
            pad_token_type_id: Fills ``token_type_ids``.
            pad_to_multiple_of: Rows are padded to the longest of the batch, rounded up to a multiple of this.
            max_length: Padding does not go beyond it; an encoder may have no position for more.
        """
        self.fills = {"input_ids": pad_token_id, "token_type_ids": pad_token_type_id}
        self.pad_to_multiple_of, self.max_length = pad_to_multiple_of, max_length

    def __call__(self, rows: TokenColumns) -> dict[str, Tensor]:
        """Return ``input_ids``, ``attention_mask``, ``idx``; ``token_type_ids`` and ``labels`` if rows have them."""
        longest = int(rows.lengths.max())
        width = -(-longest // self.pad_to_multiple_of) * self.pad_to_multiple_of
        if self.max_length is not None:
            width = max(longest, min(width, self.max_length))
        return {**rows.padded(self.fills, width), **rows.fields}


class NoRows:
    """A collator that keeps nothing of a batch but its form: tensors of zero rows.

    Lightning leaves out the whole evaluation, with its hooks, on a process that has no batch, while the others wait for
    it there to share their metrics. So such a process is given a batch of which this leaves nothing.

    Examples:
        >>> import torch
        >>> columns = {"input_ids": [2], "lengths": [1], "idx": [0]}
        >>> rows = TokenColumns.from_tensors({name: torch.tensor(column) for name, column in columns.items()})
        >>> {name: tensor.shape[0] for name, tensor in NoRows(PadCollator(0))(rows).items()}
        {'input_ids': 0, 'attention_mask': 0, 'idx': 0}
    """

    def __init__(self, collator: PadCollator) -> None:
        """Keep what forms the batch.

        Args:
            collator: Collator of the other processes.
        """
        self.collator = collator

    def __call__(self, rows: TokenColumns) -> dict[str, Tensor]:
        """Return the collator's tensors without their rows."""
        return {name: tensor[:0] for name, tensor in self.collator(rows).items()}
