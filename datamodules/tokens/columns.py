"""Tokenised rows as a few flat tensors, memory-mapped where they come from a file."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stark.errors import StarkError

__all__ = ["TokenColumns"]

_TOKENS = ("input_ids", "token_type_ids")
_FIELDS = ("idx", "labels")


class TokenColumns(Dataset[dict[str, Any]]):
    """The rows of a split, or some of them, as a map-style data set.

    The token ids of all rows lie one after the other in one tensor, which is never copied: choosing rows only chooses
    where they start. A loader asks for all rows of a batch at once and is given another, small `TokenColumns`.

    Attributes:
        tokens: ``input_ids`` and perhaps ``token_type_ids``, of all rows in a row.
        starts: Position at which each row starts.
        lengths: Number of tokens of each row.
        fields: ``idx`` and perhaps ``labels``, one number per row.

    Examples:
        >>> flat = {"input_ids": [2, 7, 3, 2, 3], "lengths": [3, 2], "idx": [0, 1]}
        >>> rows = TokenColumns.from_tensors({name: torch.tensor(column) for name, column in flat.items()})
        >>> len(rows), rows[1], rows.select([1, 0])[1]
        (2, {'input_ids': [2, 3], 'idx': 1}, {'input_ids': [2, 7, 3], 'idx': 0})
    """

    def __init__(
        self, tokens: Mapping[str, Tensor], starts: Tensor, lengths: Tensor, fields: Mapping[str, Tensor]
    ) -> None:
        """Keep the columns."""
        self.tokens = dict(tokens)
        self.starts = starts
        self.lengths = lengths
        self.fields = dict(fields)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "TokenColumns":
        """Take the columns of a whole split.

        Args:
            tensors: ``input_ids`` and perhaps ``token_type_ids`` of all rows in a row, ``lengths``, ``idx`` and perhaps
                ``labels``.

        Raises:
            StarkError: These are no such columns.
        """
        if not {"input_ids", "lengths", "idx"} <= tensors.keys() <= {*_TOKENS, *_FIELDS, "lengths"}:
            raise StarkError(f"columns of tokenised rows were expected, not {', '.join(sorted(tensors)) or 'none'}")
        lengths = tensors["lengths"].long()
        tokens = {name: tensors[name] for name in _TOKENS if name in tensors}
        fields = {name: tensors[name] for name in _FIELDS if name in tensors}
        for name, column in tokens.items():
            if len(column) != lengths.sum():
                raise StarkError(f"{name} has {len(column)} tokens, but the rows have {int(lengths.sum())}")
        for name, column in fields.items():
            if len(column) != len(lengths):
                raise StarkError(f"{name} has {len(column)} rows, but lengths has {len(lengths)}")
        return cls(tokens, lengths.cumsum(0) - lengths, lengths, fields)

    def select(self, rows: Iterable[int] | Tensor) -> "TokenColumns":
        """Return some of the rows, without a copy of their tokens.

        Args:
            rows: Their numbers.
        """
        chosen = rows if isinstance(rows, Tensor) else torch.tensor(list(rows), dtype=torch.int64)
        fields = {name: column[chosen] for name, column in self.fields.items()}
        return TokenColumns(self.tokens, self.starts[chosen], self.lengths[chosen], fields)

    def padded(self, fills: Mapping[str, int], width: int) -> dict[str, Tensor]:
        """Return the columns of tokens with one line per row, and the mask that tells tokens from what fills the lines.

        Args:
            fills: Values that follow the tokens of a row, by the column's name.
            width: Width of each line, at least the length of each row.

        Returns:
            ``attention_mask`` and the columns, [rows, width], int64.

        Examples:
            >>> columns = {"input_ids": [2, 7, 3], "lengths": [2, 1], "idx": [0, 1]}
            >>> rows = TokenColumns.from_tensors({name: torch.tensor(column) for name, column in columns.items()})
            >>> {name: lines.tolist() for name, lines in rows.padded({"input_ids": 9}, 3).items()}
            {'input_ids': [[2, 7, 9], [3, 9, 9]], 'attention_mask': [[1, 1, 0], [1, 0, 0]]}
        """
        steps = torch.arange(width)
        filled = steps >= self.lengths[:, None]
        # A place beyond the row is some other row's token, or none at all after the last row; it is written over.
        places = (self.starts[:, None] + steps).masked_fill_(filled, 0)
        lines = {name: column[places].long().masked_fill_(filled, fills[name]) for name, column in self.tokens.items()}
        return {**lines, "attention_mask": (~filled).long()}

    def token_ids(self) -> Tensor:
        """Return the distinct token ids of the rows, ascending."""
        ends = self.lengths.cumsum(0)
        places = (self.starts - (ends - self.lengths)).repeat_interleave(self.lengths)
        ids = self.tokens["input_ids"][places.add_(torch.arange(len(places)))]
        return ids.bincount().nonzero().flatten()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.lengths)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Return a row as Python values."""
        start, length = int(self.starts[row]), int(self.lengths[row])
        tokens = {name: column[start : start + length].tolist() for name, column in self.tokens.items()}
        return tokens | {name: column[row].item() for name, column in self.fields.items()}

    def __getitems__(self, rows: list[int]) -> "TokenColumns":
        """Return the rows of a batch, for a loader."""
        return self.select(rows)
