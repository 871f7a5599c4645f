"""The table of token embeddings of an encoder: a whole matrix, or the product of two small ones."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from transformers import PreTrainedModel

__all__ = ["FactorisedEmbedding", "set_token_table_", "token_table"]


class FactorisedEmbedding(nn.Module):
    r"""Embeddings $e_v = B a_v$: a row $a_v$ of a narrow table for each token, and a matrix $B$ that all tokens share.

    Args:
        tokens: Number of tokens, V.
        rank: Width of the narrow table, r.
        width: Width of the embeddings, d.
        padding_idx: Id of the padding token, as in `torch.nn.Embedding`.

    Examples:
        >>> import torch
        >>> embeddings = FactorisedEmbedding(tokens=10, rank=2, width=6)
        >>> embeddings(torch.tensor([[1, 2, 3]])).shape, sum(p.numel() for p in embeddings.parameters())
        (torch.Size([1, 3, 6]), 32)
    """

    def __init__(self, tokens: int, rank: int, width: int, padding_idx: int | None = None) -> None:
        """Create both matrices."""
        super().__init__()
        self.table = nn.Embedding(tokens, rank, padding_idx)
        self.projection = nn.Linear(rank, width, bias=False)

    @classmethod
    def like(cls, embedding: nn.Embedding, rank: int) -> FactorisedEmbedding:
        """New factors of the sizes of an ordinary embedding, with values of their own.

        Args:
            embedding: The embedding.
            rank: Width of the narrow table.

        Returns:
            The factors, on torch's default device.
        """
        return cls(embedding.num_embeddings, rank, embedding.embedding_dim, embedding.padding_idx)

    def forward(self, ids: Tensor) -> Tensor:
        """Embeddings of token ids, ``(batch, length, width)``."""
        embeddings: Tensor = self.projection(self.table(ids))
        return embeddings

    @property
    def weight(self) -> Tensor:
        """The product of both matrices, ``(tokens, width)``, for code that reads an embedding's weight."""
        product: Tensor = self.projection(self.table.weight)
        return product


def token_table(model: PreTrainedModel) -> nn.Embedding:
    """The table with a row for each token: the embedding itself, or the narrow table of a factorised one.

    Args:
        model: A classifier.

    Returns:
        The table inside the model, not a copy.
    """
    embeddings = model.get_input_embeddings()
    return cast(nn.Embedding, embeddings.table if isinstance(embeddings, FactorisedEmbedding) else embeddings)


def set_token_table_(model: PreTrainedModel, table: nn.Embedding) -> None:
    """Replace `token_table`.

    Args:
        model: A classifier.
        table: The new table, of the same width.
    """
    embeddings = model.get_input_embeddings()
    if isinstance(embeddings, FactorisedEmbedding):
        embeddings.table = table
    else:
        model.set_input_embeddings(table)
