"""Token embeddings as the product of two small matrices, by truncated SVD."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from stark.encoders.cutting import become_shrunk_
from stark.encoders.token_table import FactorisedEmbedding
from stark.errors import StarkError

__all__ = ["check_rank", "factorise", "factorise_embeddings_", "kept_share"]


def factorise(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    r"""The best approximation of a matrix by a product of two small ones, $E \approx A B^\top$.

    $B$ has the first right singular vectors of $E$, and $A = E B$. Among all products of this rank it has the smallest
    sum of squared errors (Eckart and Young, 1936).

    Source: Lan et al., 2020, "ALBERT", for embeddings that are factorised before their training; Chen et al., 2018,
    "GroupReduce", for the factorisation of trained ones.

    Args:
        matrix: E, ``(rows, columns)``.
        rank: Number r of columns of A and B, at most the number of columns of E.

    Returns:
        A, ``(rows, r)``, and B, ``(columns, r)``, whose columns are orthonormal.

    Examples:
        >>> table, projection = factorise(torch.tensor([[3.0, 3.0], [1.0, 1.0]]), rank=1)
        >>> (table @ projection.T).round(decimals=4)
        tensor([[3., 3.],
                [1., 1.]])
    """
    wide = matrix.detach().double()
    # The eigenvectors of the small matrix of products are the singular vectors; the largest values come last.
    vectors = torch.linalg.eigh(wide.T @ wide).eigenvectors[:, -rank:].flip(1)
    # A sign is arbitrary: the largest entry is positive, so that all machines give the same factors.
    signs = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    projection = vectors * signs
    return (wide @ projection).to(matrix.dtype), projection.to(matrix.dtype)


def kept_share(matrix: Tensor, table: Tensor, projection: Tensor) -> float:
    """The share of a matrix's squared norm that its factors keep.

    Args:
        matrix: E, ``(rows, columns)``.
        table: A of `factorise`.
        projection: B of `factorise`.

    Returns:
        A share in [0, 1].

    Examples:
        >>> matrix = torch.diag(torch.tensor([2.0, 1.0]))
        >>> round(kept_share(matrix, *factorise(matrix, rank=1)), 3)
        0.8
    """
    error = (matrix - table @ projection.T).double().square().sum()
    return 1 - float(error / matrix.double().square().sum())


def check_rank(model: PreTrainedModel, rank: int) -> None:
    """Refuse ranks that leave a model's token embeddings as large as they are.

    Args:
        model: A classifier whose embeddings are not factorised.
        rank: The rank.

    Raises:
        StarkError: If the embeddings are factorised already, or two factors would not be smaller.
    """
    embeddings = model.get_input_embeddings()
    if isinstance(embeddings, FactorisedEmbedding):
        raise StarkError(
            f"its token embeddings have the rank {embeddings.table.embedding_dim} already: factorise the model that it "
            "was made from"
        )
    tokens, width = cast(nn.Embedding, embeddings).weight.shape
    if rank < 1 or rank * (tokens + width) >= tokens * width:
        most = (tokens * width - 1) // (tokens + width)
        raise StarkError(
            f"rank {rank} does not make the {tokens:,} token embeddings of width {width} smaller: choose a rank from 1 "
            f"to {most}"
        )


def factorise_embeddings_(model: PreTrainedModel, rank: int) -> float:
    """Replace a model's token embeddings by two factors, in place; see `factorise`.

    The model becomes one of the registered ``stark-<family>`` classes with ``config.embedding_rank``. The new
    parameters are new objects, so create optimizers afterwards.

    Args:
        model: A classifier; it may be shrunk.
        rank: The rank.

    Returns:
        The share of the embeddings' squared norm that is kept.

    Raises:
        StarkError: See `check_rank`.
    """
    check_rank(model, rank)
    embeddings = cast(nn.Embedding, model.get_input_embeddings())
    whole = embeddings.weight.detach()
    table, projection = factorise(whole, rank)
    factors = FactorisedEmbedding(*whole.shape[:1], rank, whole.shape[1], embeddings.padding_idx).to(whole)
    with torch.no_grad():
        factors.table.weight.copy_(table)
        factors.projection.weight.copy_(projection)
    for parameter in factors.parameters():
        parameter.requires_grad_(embeddings.weight.requires_grad)
    model.set_input_embeddings(factors.train(embeddings.training))
    become_shrunk_(model).embedding_rank = rank
    return kept_share(whole, table, projection)
