"""Tokenised rows as a few flat tensors, memory-mapped if they come from a file."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stark.errors import StarkError
from stark.storage import hash_tensors

__all__ = ["TokenColumns"]

_TOKENS = ("input_ids", "token_type_ids")
_FIELDS = ("idx", "labels", "group")
_LOST = "lost"


class TokenColumns(Dataset[dict[str, Any]]):
    """The rows of a split, or some of them, as a map-style data set.

    One tensor holds the token ids of all rows, concatenated. It is never copied: selecting rows only selects their
    start positions. A loader requests all rows of a batch at once and gets another, small `TokenColumns`.

    Attributes:
        tokens: ``input_ids`` and optionally ``token_type_ids`` of all rows, concatenated.
        starts: Start position of each row.
        lengths: Number of tokens of each row.
        fields: ``idx``, one number per row, optionally ``labels``, which are one number per row or several, and
            optionally ``group``, the number of the row's group in train.
        lost: Number of tokens of each row that were cut off because it is too long.

    Examples:
        >>> flat = {"input_ids": [2, 7, 3, 2, 3], "lengths": [3, 2], "idx": [0, 1]}
        >>> rows = TokenColumns.from_tensors({name: torch.tensor(column) for name, column in flat.items()})
        >>> len(rows), rows[1], rows.select([1, 0])[1]
        (2, {'input_ids': [2, 3], 'idx': 1}, {'input_ids': [2, 7, 3], 'idx': 0})
    """

    def __init__(
        self,
        tokens: Mapping[str, Tensor],
        starts: Tensor,
        lengths: Tensor,
        fields: Mapping[str, Tensor],
        lost: Tensor | None = None,
    ) -> None:
        """Store the columns; without ``lost`` no row lost a token."""
        self.tokens = dict(tokens)
        self.starts = starts
        self.lengths = lengths
        self.fields = dict(fields)
        self.lost = torch.zeros(len(lengths), dtype=torch.int64) if lost is None else lost

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "TokenColumns":
        """Make the rows of a whole split from its columns.

        Args:
            tensors: ``input_ids`` and optionally ``token_type_ids`` of all rows, concatenated; ``lengths``, ``idx`` and
                optionally ``labels``, ``group`` and ``lost``.

        Raises:
            StarkError: The columns are not these, or their sizes do not match.
        """
        if not {"input_ids", "lengths", "idx"} <= tensors.keys() <= {*_TOKENS, *_FIELDS, "lengths", _LOST}:
            raise StarkError(f"columns of tokenised rows were expected, not {', '.join(sorted(tensors)) or 'none'}")
        lengths = tensors["lengths"].long()
        tokens = {name: tensors[name] for name in _TOKENS if name in tensors}
        fields = {name: tensors[name] for name in _FIELDS if name in tensors}
        for name, column in tokens.items():
            if len(column) != lengths.sum():
                raise StarkError(f"{name} has {len(column)} tokens, but the rows have {int(lengths.sum())}")
        lost = tensors[_LOST].long() if _LOST in tensors else None
        for name, column in {**fields, **({} if lost is None else {_LOST: lost})}.items():
            if len(column) != len(lengths):
                raise StarkError(f"{name} has {len(column)} rows, but lengths has {len(lengths)}")
        return cls(tokens, lengths.cumsum(0) - lengths, lengths, fields, lost)

    def select(self, rows: Iterable[int] | Tensor) -> "TokenColumns":
        """Return some of the rows without copying their tokens.

        Args:
            rows: Numbers of the rows.
        """
        chosen = rows if isinstance(rows, Tensor) else torch.tensor(list(rows), dtype=torch.int64)
        fields = {name: column[chosen] for name, column in self.fields.items()}
        return TokenColumns(self.tokens, self.starts[chosen], self.lengths[chosen], fields, self.lost[chosen])

    def without(self, field: str) -> "TokenColumns":
        """Return the same rows without one of their fields, if they have it.

        Args:
            field: Name of the field.
        """
        fields = {name: column for name, column in self.fields.items() if name != field}
        return TokenColumns(self.tokens, self.starts, self.lengths, fields, self.lost)

    def joined(self, other: "TokenColumns") -> "TokenColumns":
        """Return these rows and those of another split, in new memory.

        Args:
            other: Rows with the same columns.

        Examples:
            >>> flat = {"input_ids": [2, 7, 3, 2, 3], "lengths": [3, 2], "idx": [0, 1]}
            >>> rows = TokenColumns.from_tensors({name: torch.tensor(column) for name, column in flat.items()})
            >>> rows.select([1]).joined(rows)[1]
            {'input_ids': [2, 7, 3], 'idx': 0}
        """
        tokens = {name: torch.cat([column, other.tokens[name]]) for name, column in self.tokens.items()}
        starts = torch.cat([self.starts, other.starts + len(self.tokens["input_ids"])])
        fields = {name: torch.cat([column, other.fields[name]]) for name, column in self.fields.items()}
        lengths, lost = (torch.cat(pair) for pair in ((self.lengths, other.lengths), (self.lost, other.lost)))
        return TokenColumns(tokens, starts, lengths, fields, lost)

    def digest(self) -> str:
        """Return a hash of the rows' tokens, wherever they lie in memory."""
        places = self._places()
        return hash_tensors({"lengths": self.lengths, **{name: ids[places] for name, ids in self.tokens.items()}})

    def token_keys(self) -> list[bytes]:
        """Return the token ids of each row as bytes, which are equal for rows with equal texts."""
        ids = self.tokens["input_ids"].numpy()
        places = zip(self.starts.tolist(), self.lengths.tolist(), strict=True)
        return [ids[start : start + length].tobytes() for start, length in places]

    def padded(self, fills: Mapping[str, int], width: int) -> dict[str, Tensor]:
        """Return the columns of tokens, padded to one line per row, and the mask that is 1 for tokens.

        Args:
            fills: Padding value of each column, by the column's name.
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
        # Positions behind a row's end would be tokens of another row, or outside of the tensor; they are overwritten.
        places = (self.starts[:, None] + steps).masked_fill_(filled, 0)
        lines = {name: column[places].long().masked_fill_(filled, fills[name]) for name, column in self.tokens.items()}
        return {**lines, "attention_mask": (~filled).long()}

    def token_ids(self) -> Tensor:
        """Return the distinct token ids of the rows, ascending."""
        return self.tokens["input_ids"][self._places()].bincount().nonzero().flatten()

    def _places(self) -> Tensor:
        """Return the place of each token, row by row."""
        before = self.lengths.cumsum(0) - self.lengths
        places = (self.starts - before).repeat_interleave(self.lengths)
        return places.add_(torch.arange(len(places)))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.lengths)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Return a row as Python values."""
        start, length = int(self.starts[row]), int(self.lengths[row])
        tokens = {name: column[start : start + length].tolist() for name, column in self.tokens.items()}
        return tokens | {name: column[row].tolist() for name, column in self.fields.items()}

    def __getitems__(self, rows: list[int]) -> "TokenColumns":
        """Return the rows of a batch, for a loader."""
        return self.select(rows)
