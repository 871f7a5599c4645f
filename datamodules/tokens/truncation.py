"""How much of a part's texts is lost because rows have more tokens than a model takes."""

from __future__ import annotations

from typing import NamedTuple

from datamodules.tokens.columns import TokenColumns

__all__ = ["Truncation"]


class Truncation(NamedTuple):
    """Numbers of rows and tokens that were cut off.

    Attributes:
        cut: Number of rows that lost tokens.
        rows: Number of all rows.
        lost: Number of tokens that were cut off.
        tokens: Number of tokens of all rows before, special tokens included.
    """

    cut: int = 0
    rows: int = 0
    lost: int = 0
    tokens: int = 0

    @classmethod
    def of(cls, rows: TokenColumns) -> Truncation:
        """Count what rows have lost.

        Args:
            rows: Tokenised rows.

        Examples:
            >>> import torch
            >>> flat = {"input_ids": [2, 7, 3, 2, 3], "lengths": [3, 2], "idx": [0, 1], "lost": [5, 0]}
            >>> rows = TokenColumns.from_tensors({name: torch.tensor(column) for name, column in flat.items()})
            >>> Truncation.of(rows)
            Truncation(cut=1, rows=2, lost=5, tokens=10)
        """
        lost = int(rows.lost.sum())
        return cls(int((rows.lost > 0).sum()), len(rows), lost, int(rows.lengths.sum()) + lost)

    def and_of(self, other: Truncation) -> Truncation:
        """Return the numbers of two parts together.

        Args:
            other: Numbers of the other part.
        """
        return Truncation(*(first + second for first, second in zip(self, other, strict=True)))

    def told(self, max_length: int) -> str:
        """Return a sentence about the rows that lost tokens.

        Args:
            max_length: Number of tokens at which rows were cut.

        Examples:
            >>> Truncation(30, 1200, 5000, 40000).told(128)
            '30 of 1,200 rows have more than 128 tokens and are cut, which loses 12.5 % of all tokens'
        """
        are = "has" if self.cut == 1 else "have"
        cut = "is" if self.cut == 1 else "are"
        # A loss that rounds to nothing is still one.
        share = f"{100 * self.lost / self.tokens:.1f}" if 1000 * self.lost >= self.tokens else "less than 0.1"
        return (
            f"{self.cut:,} of {self.rows:,} rows {are} more than {max_length} tokens and {cut} cut, which loses "
            f"{share} % of all tokens"
        )
