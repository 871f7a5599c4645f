"""Token embeddings as the product of two small matrices, by truncated SVD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from stark.encoders.cutting import become_shrunk_
from stark.encoders.token_table import FactorisedEmbedding
from stark.errors import StarkError

__all__ = ["check_rank", "count_tokens", "factorise", "factorise_embeddings_", "kept_share"]

_BATCH = 1000


def count_tokens(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], number: int) -> Tensor:
    """How often each token occurs in texts, special tokens included.

    Args:
        tokenizer: The tokenizer.
        texts: The texts.
        number: Number of token embeddings, at least that of the tokens.

    Returns:
        Counts, ``(number,)``, float64.
    """
    counts = torch.zeros(number, dtype=torch.float64)
    for start in range(0, len(texts), _BATCH):
        rows = tokenizer(list(texts[start : start + _BATCH]), truncation=False, verbose=False)["input_ids"]
        counts += torch.bincount(torch.tensor([token for row in rows for token in row]), minlength=number)
    return counts


def factorise(matrix: Tensor, rank: int, counts: Tensor) -> tuple[Tensor, Tensor]:
    r"""The best approximation of a matrix by a product of two small ones, $E \approx A B^\top$, for frequent rows.

    Row $v$ counts $c_v$ times. $B$ has the first right singular vectors of $\mathrm{diag}(\sqrt{c}) E$, and $A = E B$,
    so that rows with a count of 0 have factors, too. Among all products of this rank it has the smallest
    $\sum_v c_v \lVert e_v - B a_v \rVert^2$ (Eckart and Young, 1936).

    Source: Hsu et al., 2022, "Language model compression with weighted low-rank factorization", which weights rows by
    their Fisher information. Deviation: the weights are frequencies, which need no gradients. Chen et al., 2018,
    "GroupReduce", weights embeddings by frequency, too, but in groups.

    Args:
        matrix: E, ``(rows, columns)``.
        rank: Number r of columns of A and B, at most the number of columns of E.
        counts: c, ``(rows,)``, not negative.

    Returns:
        A, ``(rows, r)``, and B, ``(columns, r)``, whose columns are orthonormal.

    Examples:
        >>> matrix = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
        >>> [factorise(matrix, 1, torch.tensor(counts))[1].T.tolist() for counts in ([1, 1], [1, 10])]
        [[[1.0, 0.0]], [[0.0, 1.0]]]
    """
    wide = matrix.detach().double()
    weighted = wide * counts.to(wide)[:, None]
    # The eigenvectors of the small matrix of products are the singular vectors; the largest values come last.
    vectors = torch.linalg.eigh(wide.T @ weighted).eigenvectors[:, -rank:].flip(1)
    # A sign is arbitrary: the largest entry is made positive.
    projection = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    return (wide @ projection).to(matrix.dtype), projection.to(matrix.dtype)


def kept_share(matrix: Tensor, table: Tensor, projection: Tensor, counts: Tensor) -> float:
    """The share of a matrix's squared norm that its factors keep, with each row as often as it counts.

    Args:
        matrix: E, ``(rows, columns)``.
        table: A of `factorise`.
        projection: B of `factorise`.
        counts: The counts of `factorise`.

    Returns:
        A share in [0, 1].

    Examples:
        >>> matrix, counts = torch.diag(torch.tensor([2.0, 1.0])), torch.ones(2)
        >>> round(kept_share(matrix, *factorise(matrix, 1, counts), counts), 3)
        0.8
    """
    errors, norms = (
        (one.double().square().sum(1) @ counts.double()) for one in (matrix - table @ projection.T, matrix)
    )
    return 1 - float(errors / norms)


def check_rank(model: PreTrainedModel, rank: int) -> None:
    """Refuse ranks that leave a model's token embeddings as large as they are.

    Args:
        model: A classifier.
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


def factorise_embeddings_(model: PreTrainedModel, rank: int, counts: Tensor) -> float:
    """Replace a model's token embeddings by two factors, in place; see `factorise`.

    The model becomes one of the registered ``stark-<family>`` classes with ``config.embedding_rank``. The new
    parameters are new objects, so create optimizers afterwards.

    Args:
        model: A classifier; it may be shrunk.
        rank: The rank.
        counts: How often each token occurs, from `count_tokens`.

    Returns:
        The share of the embeddings' squared norm that is kept, see `kept_share`.

    Raises:
        StarkError: See `check_rank`.
    """
    check_rank(model, rank)
    embeddings = cast(nn.Embedding, model.get_input_embeddings())
    whole, counts = embeddings.weight.detach(), counts.to(embeddings.weight.device)
    table, projection = factorise(whole, rank, counts)
    factors = FactorisedEmbedding.like(embeddings, rank).to(whole)
    with torch.no_grad():
        factors.table.weight.copy_(table)
        factors.projection.weight.copy_(projection)
    for parameter in factors.parameters():
        parameter.requires_grad_(embeddings.weight.requires_grad)
    model.set_input_embeddings(factors.train(embeddings.training))
    become_shrunk_(model).embedding_rank = rank
    return kept_share(whole, table, projection, counts)
