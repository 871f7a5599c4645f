"""Rows of a batch, padded into tensors."""

from torch import Tensor

from datamodules.tokens.columns import TokenColumns

__all__ = ["NoRows", "PadCollator"]


class PadCollator:
    """Makes a batch of tensors from tokenised rows.

    It is a class and not a closure, so that it can be pickled for worker processes.

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
        """Store the padding values.

        Args:
            pad_token_id: Padding value of ``input_ids``.
            pad_token_type_id: Padding value of ``token_type_ids``.
            pad_to_multiple_of: Number that the batch's longest length is rounded up to a multiple of.
            max_length: Limit of the padding, as an encoder may have no position embeddings beyond it; None for no
                limit.
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
    """A collator that makes tensors of zero rows, with the columns of a batch.

    Lightning skips the whole evaluation, including its hooks, on a process that has no batch, while the other processes
    wait for it to share their metrics. Therefore such a process gets a batch, and this collator removes its rows.

    Examples:
        >>> import torch
        >>> columns = {"input_ids": [2], "lengths": [1], "idx": [0]}
        >>> rows = TokenColumns.from_tensors({name: torch.tensor(column) for name, column in columns.items()})
        >>> {name: tensor.shape[0] for name, tensor in NoRows(PadCollator(0))(rows).items()}
        {'input_ids': 0, 'attention_mask': 0, 'idx': 0}
    """

    def __init__(self, collator: PadCollator) -> None:
        """Store the collator that makes the batch.

        Args:
            collator: Collator of the other processes.
        """
        self.collator = collator

    def __call__(self, rows: TokenColumns) -> dict[str, Tensor]:
        """Return the collator's tensors without their rows."""
        return {name: tensor[:0] for name, tensor in self.collator(rows).items()}
